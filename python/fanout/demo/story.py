"""How the demo is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .result import Result

__all__ = ["Story"]


class Story(Protocol):
    """Who is told how the demo goes. Called from its threads."""

    def begin(self, title: str) -> None:
        """A chapter begins; `Demo.gauge` shows how it goes where records are handled."""
        ...

    def detail(self, text: str) -> None:
        """Something in this chapter that is worth a word."""
        ...

    def end(self, summary: str) -> None:
        """The chapter is over."""
        ...

    def result(self, result: Result) -> None:
        """All is compared."""
        ...
