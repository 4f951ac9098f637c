"""The releases of Apache Kafka that a throw-away cluster can run, and what differs between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fanout.errors import ConfigError

__all__ = ["KAFKA_VERSION", "RELEASES", "Release", "release"]

KAFKA_VERSION = "4.3.1"
"""What runs where nobody chooses."""

LOG4J2 = {
    "broker": """\
rootLogger.level=INFO
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=[%d] %p %m (%c)%n
logger.config.name=org.apache.kafka.common.config.AbstractConfig
logger.config.level=WARN
""",
    "tool": """\
rootLogger.level=ERROR
rootLogger.appenderRef.err.ref=err
appender.err.type=Console
appender.err.name=err
appender.err.target=SYSTEM_ERR
appender.err.layout.type=PatternLayout
appender.err.layout.pattern=%p %m (%c)%n
""",
}
RELOAD4J = {
    "broker": """\
log4j.rootLogger=INFO, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=[%d] %p %m (%c)%n
log4j.logger.org.apache.kafka.common.config.AbstractConfig=WARN
""",
    "tool": """\
log4j.rootLogger=ERROR, err
log4j.appender.err=org.apache.log4j.ConsoleAppender
log4j.appender.err.target=System.err
log4j.appender.err.layout=org.apache.log4j.PatternLayout
log4j.appender.err.layout.ConversionPattern=%p %m (%c)%n
""",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """One release: how its jars are fetched, and how a Java process of it is told where to log."""

    version: str
    maven: tuple[str, ...]
    """Arguments beside the version."""
    logging_property: str
    logging: Mapping[str, str]
    """What to write into the logging file of a `broker` and of a `tool`."""

    def write_logging(self, folder: Path) -> None:
        """Writes the logging file of each kind into `folder`."""
        for kind, text in self.logging.items():
            self._logging_file(folder, kind).write_text(text, encoding="utf-8")

    def logging_option(self, folder: Path, kind: str) -> str:
        """The option that names the file written there."""
        return f"-D{self.logging_property}={self._logging_file(folder, kind).as_uri()}"

    def _logging_file(self, folder: Path, kind: str) -> Path:
        return folder / f"{kind}.log4j.properties"


RELEASES = {
    one.version: one
    for one in (
        Release(
            version=KAFKA_VERSION,
            maven=("-P", "log4j2"),
            logging_property="log4j2.configurationFile",
            logging=LOG4J2,
        ),
        # The last before 4.0: transactions without KIP-890's second part, and the older group coordinator.
        Release(version="3.9.1", maven=(), logging_property="log4j.configuration", logging=RELOAD4J),
    )
}


def release(version: str) -> Release:
    """The release of that number. Raises ConfigError for one that nobody has tried."""
    if version not in RELEASES:
        raise ConfigError(
            "version", f"{version} is not among the releases of Kafka that are known: {', '.join(RELEASES)}"
        )
    return RELEASES[version]
