"""
The function that gives OAUTHBEARER tokens, found by its path.

`oauth_cb = "shop.tokens:kafka"` names a function of the user's. It is called as confluent-kafka calls an
`oauth_cb`: with one text, which fanout leaves empty; it returns `(token, expiry)`, the expiry in seconds since
1970, or `(token, expiry, principal, extensions)`.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fanout.errors import ConfigError

__all__ = ["TOKEN_FUNCTION", "token_function", "with_token_function"]

TOKEN_FUNCTION = "oauth_cb"  # noqa: S105  a property's name

_PATH = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<name>[A-Za-z_]\w*)")


def token_function(path: str) -> Callable[[str], Any]:
    """Imports `pkg.mod:function`, the working folder first on the path. ConfigError says what failed."""
    found = _PATH.fullmatch(path)
    if found is None:
        raise ConfigError(TOKEN_FUNCTION, f"{path!r} is not `package.module:function`")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(found["module"])
    except Exception as error:
        raise ConfigError(TOKEN_FUNCTION, f"{path} does not import: {type(error).__name__}: {error}") from error
    function: Callable[[str], Any] | None = getattr(module, found["name"], None)
    if not callable(function):
        raise ConfigError(TOKEN_FUNCTION, f"{module.__name__} has no function `{found['name']}`")
    return function


def with_token_function(properties: Mapping[str, str]) -> dict[str, Any]:
    """The properties as confluent-kafka takes them: the function itself in the place of its path."""
    client: dict[str, Any] = dict(properties)
    if TOKEN_FUNCTION in client:
        client[TOKEN_FUNCTION] = token_function(client[TOKEN_FUNCTION])
    return client
