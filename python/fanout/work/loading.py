"""Importing an application by its path, and saying what went wrong where."""

from __future__ import annotations

import importlib
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from fanout.app import App, Handler
from fanout.errors import ConfigError

if TYPE_CHECKING:
    from fanout.config.work import Named

__all__ = ["chosen_handlers", "load_app", "place_in"]

_PATH = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<name>[A-Za-z_]\w*)")


def load_app(path: str, folder: str, named: Named) -> App:
    """Imports `pkg.mod:app` with `folder` first on the path. ConfigError says what failed and where.

    `named`: whether the path names the app, or a function without arguments that makes it.
    """
    found = _PATH.fullmatch(path)
    if found is None:
        raise ConfigError(path, "an application is named `package.module:variable`, such as `shop.billing:app`")
    where = Path(folder).expanduser().resolve()
    if not where.is_dir():
        raise ConfigError("--app-dir", f"{where} is not a folder")
    sys.path.insert(0, str(where))
    module = _import(path, found["module"], where)
    try:
        app = getattr(module, found["name"])
    except AttributeError:
        raise ConfigError(path, f"{module.__file__} has no `{found['name']}`") from None
    if named == "factory":
        app = _made(path, app)
    elif not isinstance(app, App) and callable(app) and not isinstance(app, type):
        raise ConfigError(path, f"`{found['name']}` is a function: with --factory it is called for the app")
    if not isinstance(app, App):
        said = f"`{found['name']}` made" if named == "factory" else f"`{found['name']}` is"
        raise ConfigError(path, f"{said} a {type(app).__name__}, not a fanout.App")
    if not app.handlers:
        raise ConfigError(path, "the app has no handler: decorate a function with `@app.handler(topic)`")
    return app


def _made(path: str, factory: object) -> object:
    if not callable(factory):
        raise ConfigError(path, f"--factory calls what the path names, and a {type(factory).__name__} cannot be called")
    try:
        return factory()
    except (Exception, SystemExit) as error:
        raise ConfigError(path, _story(error, "could not be made")) from error


def chosen_handlers(app: App, topics: tuple[str, ...]) -> list[Handler]:
    """The handlers of `topics`, or all. ConfigError for a topic without one."""
    missing = [topic for topic in topics if topic not in app.handlers]
    if missing:
        known = ", ".join(sorted(app.handlers))
        raise ConfigError("--topic", f"{app.name} has no handler of {', '.join(missing)}, but of {known}")
    return [app.handlers[topic] for topic in topics or sorted(app.handlers)]


def _import(path: str, name: str, where: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigError(path, f"no module `{error.name}` in {where}: name its folder with --app-dir") from error
        raise ConfigError(path, _story(error)) from error
    except (Exception, SystemExit) as error:
        raise ConfigError(path, _story(error)) from error


def place_in(folder: str, thread: int) -> str:
    """File and line at which a thread stands: the innermost in `folder`, else the innermost of all."""
    stack = traceback.extract_stack(sys._current_frames()[thread])  # noqa: SLF001  the only way to another's stack
    where = Path(folder).expanduser().resolve()
    frame = next((frame for frame in reversed(stack) if Path(frame.filename).is_relative_to(where)), stack[-1])
    return f"{frame.filename}:{frame.lineno}"


def _story(error: BaseException, what: str = "does not import") -> str:
    """The error, and the last line of the application's own code that led to it."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if len(frames) > 1 else ""
    return f"{what}: {type(error).__name__}: {error}{place}"
