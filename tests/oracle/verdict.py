"""What a check found: figures first, then the first places where it went wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

__all__ = ["Finding", "Sheet", "Verdict"]

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and where. `serial` is the record it is about, where that is known."""

    check: str
    where: str
    what: str
    serial: int | None = None

    def __str__(self) -> str:
        return f"{self.check:<17} {self.where}: {self.what}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The figures of one check. `ok` only when records were seen, all were expected, and every fault count is zero."""

    subject: str
    records: int
    expected: int
    faults: tuple[tuple[str, int], ...]
    notes: tuple[tuple[str, int], ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def void(self) -> bool:
        """Nothing was there to be checked, so nothing is proven."""
        return not self.records or not self.expected

    @property
    def ok(self) -> bool:
        """Whether the run proves what it was for."""
        return not self.void and not any(count for _, count in self.faults)

    def __getitem__(self, fault: str) -> int:
        return dict(self.faults)[fault]

    @property
    def caught(self) -> frozenset[str]:
        """Names of the checks that found something."""
        return frozenset(name for name, count in self.faults if count)

    def __str__(self) -> str:
        head = (("records", self.records), ("expected", self.expected))
        figures = " ".join(f"{name}={count}" for name, count in (*head, *self.faults, *self.notes))
        return f"{self.subject}: {figures}{' VOID' if self.void else ''}"

    def explain(self) -> str:
        """The line of figures, then what was found first and where."""
        return "\n  ".join([str(self), *map(str, self.findings[:_SHOWN])])

    def require(self) -> None:
        """Prints the line of figures; raises AssertionError with the first findings unless all is well."""
        print(self)
        if not self.ok:
            raise AssertionError(self.explain())


class Sheet:
    """Collects findings during a check: every one is counted, the first of each check are kept with their place."""

    def __init__(self, checks: tuple[str, ...]) -> None:
        self._counts: Counter[str] = Counter(dict.fromkeys(checks, 0))
        self._findings: list[Finding] = []

    def note(self, check: str, where: str, what: str, serial: int | None = None) -> None:
        """Counts one fault; `check` is one of the names given at the start."""
        self._counts[check] += 1
        if self._counts[check] <= _SHOWN:
            self._findings.append(Finding(check, where, what, serial))

    @property
    def faults(self) -> tuple[tuple[str, int], ...]:
        """Every check by name with its count, zeros included."""
        return tuple(self._counts.items())

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Findings in the order they were met."""
        return tuple(self._findings)
