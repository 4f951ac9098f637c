"""
Settings of one command: flag > -X > -F > environment > configuration file > default.

The file is `fanout.toml` in the working folder, `~/.config/fanout/` or `/etc/fanout/`,
the first that exists. Environment variables are `FANOUT_BOOTSTRAP_SERVERS`,
`FANOUT_LOG_LEVEL`, … and, for any client property, `FANOUT_KAFKA_SASL_PASSWORD` and the like.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from fanout.errors import ConfigError

from .clients import Clients, Layer, clients_from
from .dedup import DedupSettings, OnStoreDown
from .durations import duration_s
from .properties import did_you_mean, flatten, read_properties, read_secret

__all__ = ["Flags", "Settings", "load_settings"]

FOLDERS = (Path(), Path("~/.config/fanout"), Path("/etc/fanout"))

ENV = "FANOUT_"
ENV_KAFKA = "FANOUT_KAFKA_"
ENV_BROKERS = "FANOUT_BOOTSTRAP_SERVERS"
NESTED = "__"
"""`FANOUT_DEDUP__URL` is `url` in `[dedup]`."""

ENV_PATHS = ("FANOUT_CONFIG", "FANOUT_COMMAND_CONFIG")

FILE_ONLY = ("allow_properties", "kafka", "contexts")
"""Fields the environment cannot set: leave to run code is given in a file, and tables are written there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Flags:
    """What the command line said; None or empty is unsaid.

    `properties` are the KEY=VALUE of -X in order; `options` the flags that have a field in `Settings`.
    """

    bootstrap_servers: str | None = None
    config: Path | None = None
    command_config: Path | None = None
    properties: Sequence[str] = ()
    options: Mapping[str, str] = field(default_factory=dict)


class Context(BaseModel):
    """`[contexts.NAME]`: a cluster by name; its properties win over `[kafka]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kafka: dict[str, Any] = Field(default_factory=dict, repr=False)


class Dedup(BaseModel):
    """`[dedup]`: where repeats are remembered. Without `url` or `url_file` none is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str | None = Field(default=None, repr=False)
    url_file: Path | None = None
    window: str = "P7D"
    on_store_down: OnStoreDown = "pause"
    namespace: str | None = None

    def settings(self) -> DedupSettings | None:
        """Checked; ConfigError under the name the user wrote."""
        url = self.url if self.url_file is None else read_secret(self.url_file, "dedup.url_file")
        if url is None:
            return None
        if self.url is not None and self.url_file is not None:
            raise ConfigError("dedup.url_file", "dedup.url is set, too: leave one of them out")
        return DedupSettings(
            url=url,
            window_s=duration_s(self.window, "dedup.window"),
            on_store_down=self.on_store_down,
            namespace=self.namespace,
        )


class Settings(BaseSettings):
    """What every command shares, checked. `clients` holds the merged properties of the Kafka clients."""

    model_config = SettingsConfigDict(env_prefix=ENV, env_nested_delimiter=NESTED, extra="forbid", frozen=True)

    context: str | None = None
    allow_properties: frozenset[str] = frozenset()
    output: Literal["table", "json", "jsonl", "csv"] = "table"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "console", "json"] = "auto"
    dedup: Dedup = Field(default_factory=Dedup)
    kafka: dict[str, Any] = Field(default_factory=dict, repr=False)
    contexts: dict[str, Context] = Field(default_factory=dict, repr=False)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then the environment, then the file. No `.env` is read: nobody would look for a setting there."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(flags: Flags) -> tuple[Settings, Clients]:
    """The settings of one command and its clients' properties. A wrong one is a ConfigError under its own name."""
    _refuse_misspelt(os.environ)
    path = _find_file(flags.config)
    settings = _settings(path, flags.options)
    layers = [*_file_layers(settings, path), *_env_layers(os.environ), *_flag_layers(flags)]
    return settings, clients_from(layers, settings.allow_properties)


def _settings(path: Path | None, options: Mapping[str, str]) -> Settings:
    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=path)

    try:
        return FromFile(**dict(options))  # type: ignore[arg-type]  # the model checks them
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(path), f"is not TOML: {error}") from error
    except SettingsError as error:
        problem = f"{error}: a table takes a variable for each of its settings, such as FANOUT_DEDUP__URL"
        raise ConfigError("environment", problem) from None
    except ValidationError as error:
        raise _refusal(error, str(path or "environment")) from error


def _refusal(error: ValidationError, place: str) -> ConfigError:
    first = error.errors(include_url=False)[0]
    name = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        tables: dict[str, type[BaseModel]] = {"contexts": Context, "dedup": Dedup}
        known = tables[str(first["loc"][0])].model_fields if len(first["loc"]) > 1 else Settings.model_fields
        return ConfigError(f"{place}: {name}", f"no such setting{did_you_mean(str(first['loc'][-1]), known)}")
    return ConfigError(name.replace("_", "-"), first["msg"])


def _find_file(named: Path | None) -> Path | None:
    if named is None and "FANOUT_CONFIG" in os.environ:
        named = Path(os.environ["FANOUT_CONFIG"])
    if named is not None:
        if not named.expanduser().is_file():
            raise ConfigError("--config", f"there is no file {named}")
        return named.expanduser()
    places = (folder.expanduser() / "fanout.toml" for folder in FOLDERS)
    return next((place for place in places if place.is_file()), None)


def _file_layers(settings: Settings, path: Path | None) -> list[Layer]:
    layers: list[Layer] = [(f"{path} [kafka]", flatten(settings.kafka, f"{path} [kafka]"))]
    if settings.context is not None:
        if settings.context not in settings.contexts:
            known = ", ".join(sorted(settings.contexts)) or "none"
            raise ConfigError("context", f"there is no [contexts.{settings.context}] in {path}; there: {known}")
        place = f"{path} [contexts.{settings.context}.kafka]"
        layers.append((place, flatten(settings.contexts[settings.context].kafka, place)))
    return layers


def _env_layers(env: Mapping[str, str]) -> list[Layer]:
    layers: list[Layer] = []
    for variable, value in sorted(env.items()):
        if variable.startswith(ENV_KAFKA):
            words = variable.removeprefix(ENV_KAFKA).lower()
            suffix = "_file" if words.endswith("_file") else ""
            layers.append((variable, {words.removesuffix(suffix).replace("_", ".") + suffix: value}))
    if ENV_BROKERS in env:
        layers.append((ENV_BROKERS, {"bootstrap.servers": env[ENV_BROKERS]}))
    return layers


def _flag_layers(flags: Flags) -> list[Layer]:
    layers: list[Layer] = []
    path = flags.command_config or os.environ.get("FANOUT_COMMAND_CONFIG")
    if path:
        layers.append((str(path), read_properties(Path(path).expanduser())))
    for pair in flags.properties:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise ConfigError("-X", f"{pair!r} is not KEY=VALUE")
        layers.append(("-X", {name.strip(): value.strip()}))
    if flags.bootstrap_servers is not None:
        layers.append(("--bootstrap-server", {"bootstrap.servers": flags.bootstrap_servers}))
    return layers


def _refuse_misspelt(env: Mapping[str, str]) -> None:
    """Only near misses are refused: orchestrators put `FANOUT_PORT` and the like beside a service of this name."""
    for name in FILE_ONLY:
        if any(variable.partition(NESTED)[0] == ENV + name.upper() for variable in env):
            raise ConfigError(ENV + name.upper(), f"{name} is set in the configuration file only")
    nested = (f"{ENV}DEDUP{NESTED}{name.upper()}" for name in Dedup.model_fields)
    known = {*ENV_PATHS, ENV_BROKERS, *nested, *(ENV + name.upper() for name in Settings.model_fields)}
    for variable in env:
        if variable.startswith(ENV) and variable not in known and not variable.startswith(ENV_KAFKA):
            near = difflib.get_close_matches(variable, sorted(known), n=1, cutoff=0.9)
            if near:
                raise ConfigError(variable, f'no such setting; did you mean "{near[0]}"?')
