"""
Waiting for the admin client's answers, and looking into them.

An admin future can succeed with an error inside its value, so every entry of every
answer passes through here. Every librdkafka error becomes one of fanout's own.
"""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from fanout.config.tokens import with_token_function
from fanout.errors import BrokerError, FanoutError, UnreachableError

__all__ = ["Link"]

T = TypeVar("T")

AGAIN_S = 0.2

_PASSING = {
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,
    KafkaError.NOT_CONTROLLER,
    KafkaError.LEADER_NOT_AVAILABLE,
}
_UNREACHABLE = _PASSING | {
    KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001  librdkafka's own codes begin with an underscore
    KafkaError._TIMED_OUT,  # noqa: SLF001
    KafkaError._TIMED_OUT_QUEUE,  # noqa: SLF001
    KafkaError._TRANSPORT,  # noqa: SLF001
    KafkaError._RESOLVE,  # noqa: SLF001
    KafkaError.REQUEST_TIMED_OUT,
}

_FORBIDDEN = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "--topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "--group",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "--cluster",
}
_OPERATIONS = {
    "CreateTopics": "Create",
    "DeleteGroups": "Delete",
    "DescribeConfigs": "DescribeConfigs",
    "IncrementalAlterConfigs": "AlterConfigs",
}
"""What a request needs the right to do; the others only describe."""


class Link:
    """An admin client, how long one question may take, and whose question it is when it fails."""

    def __init__(self, properties: Mapping[str, str], timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._trouble = ""
        # Its log repeats a refused connection ten times a second; the last such word goes into the error instead.
        quiet = {} if "debug" in properties else {"log_level": "2"}
        settings = with_token_function(properties) | quiet | {"error_cb": self._note}
        self.client = AdminClient(settings, logger=logging.getLogger("fanout.librdkafka"))

    def one(self, ask: Callable[[], Mapping[Any, Future[T]]], request: str) -> T:
        """The answer to a question about one thing. Raises what stands in it."""

        def only() -> tuple[str, Future[T]]:
            [(subject, future)] = ask().items()
            return str(getattr(subject, "name", subject)), future

        return self._ask(only, request)

    def all(self, ask: Callable[[], Future[T]], request: str) -> T:
        """The answer to a question about the whole cluster."""
        return self._ask(lambda: ("the cluster", ask()), request)

    def _ask(self, ask: Callable[[], tuple[str, Future[T]]], request: str) -> T:
        """Asks again while a coordinator or leader is being found; the client does not do that by itself."""
        deadline = time.monotonic() + self.timeout_s
        while True:
            subject, future = ask()
            try:
                # A little longer than the client's own limit, so that its reason is the one reported.
                return future.result(self.timeout_s + 5)
            except KafkaException as error:
                if error.args[0].code() not in _PASSING or time.monotonic() > deadline:
                    raise self.fault(error, request, subject) from error
            except FutureTimeoutError as error:
                raise UnreachableError(f"{request} for {subject} was not answered in {self.timeout_s:.0f} s") from error
            time.sleep(AGAIN_S)

    def fault(self, error: KafkaException, request: str, subject: str) -> FanoutError:
        """What a librdkafka error means to whoever runs the command."""
        self.client.poll(0)  # the library tells its troubles only when it is asked
        cause = error.args[0]
        code = cause.code()
        if code in _UNREACHABLE:
            return UnreachableError(f"{request} for {subject}: {cause.str()}{self._trouble}")
        if code in _FORBIDDEN:
            return BrokerError(request, subject, cause.name(), f"grant it: {_right(code, request, subject)}")
        return BrokerError(request, subject, cause.name(), cause.str())

    def _note(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
            self._trouble = f" ({error.str()})"


def _right(code: int, request: str, subject: str) -> str:
    """The line that grants what was missing."""
    flag = _FORBIDDEN[code]
    resource = flag if flag == "--cluster" else f"{flag} {shlex.quote(subject)}"
    operation = _OPERATIONS.get(request, "Describe")
    who = "--add --allow-principal User:NAME"
    return f"kafka-acls --bootstrap-server HOST:PORT {who} --operation {operation} {resource}"
