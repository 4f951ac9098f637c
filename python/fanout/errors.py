"""
Every exception fanout raises on purpose.

FanoutError
├── ConfigError        a setting or argument is missing or wrong: fix it, then start again      exit 2
├── RefusedError       what the cluster holds does not allow the work; nothing was changed      exit 5
├── SecurityError      a broker and this client do not trust each other: TLS or login failed     exit 1
├── UnreachableError   no answer from the cluster: the same call may succeed later              exit 75
├── BrokerError        a broker answered with an error that waiting does not cure               exit 1
├── FencedError        another process owns the work now: this one stops                        exit 6
├── HaltedError        a lane cannot pass one place of its source partition                     exit 1
├── StartError         the application could not open what it needs: the same start may succeed later   exit 1
├── WorkError          workers stopped before their work was finished                           exit 1
├── ProofError         counts or sums differ: something was lost, doubled or moved              exit 3
└── NotFinishedError   not finished in the time given: what stands is in the message            exit 4

Each passes its own arguments to `Exception.__init__`, so it survives pickling.
"""

from __future__ import annotations

__all__ = [
    "BrokerError",
    "ConfigError",
    "FanoutError",
    "FencedError",
    "HaltedError",
    "NotFinishedError",
    "ProofError",
    "RefusedError",
    "SecurityError",
    "StartError",
    "UnreachableError",
    "WorkError",
]


class FanoutError(Exception):
    """Base of every exception fanout raises on purpose."""

    exit_code: int = 1
    """What a command that ends with this error returns to its caller."""

    retriable: bool = False
    """Whether starting again with the same configuration may help."""


class ConfigError(FanoutError):
    """A setting or argument is missing, or its value cannot work.

    `setting` is the name as the user wrote it: `kafka.consumer."auto.offset.reset"`, `--partitions`.
    """

    exit_code = 2

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(setting, problem)
        self.setting = setting
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.setting}: {self.problem}"


class RefusedError(FanoutError):
    """What the cluster holds does not allow the work. Nothing was changed."""

    exit_code = 5

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}: {self.remedy}"


class SecurityError(FanoutError):
    """A broker and this client do not trust each other: certificate, login or the port's language. Not tried again."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}: {self.remedy}"


class UnreachableError(FanoutError):
    """No broker answered within the deadline."""

    exit_code = 75
    retriable = True

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"no answer from the cluster: {self.reason}"


class BrokerError(FanoutError):
    """A broker answered with an error that waiting does not cure.

    `request` is Kafka's name of the request, `subject` what was asked about, `code` Kafka's name of the error.
    """

    def __init__(self, request: str, subject: str, code: str, remedy: str) -> None:
        super().__init__(request, subject, code, remedy)
        self.request = request
        self.subject = subject
        self.code = code
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.request} for {self.subject}: {self.code}: {self.remedy}"


class FencedError(FanoutError):
    """Another process has taken the transactional id over; this one stops and does not fight."""

    exit_code = 6

    def __init__(self, transactional_id: str) -> None:
        super().__init__(transactional_id)
        self.transactional_id = transactional_id

    def __str__(self) -> str:
        return f"{self.transactional_id} is owned by another process now: this one stops"


class HaltedError(FanoutError):
    """A lane cannot pass `offset` of one source partition, and does not skip it."""

    def __init__(self, topic: str, partition: int, offset: int, problem: str, remedy: str) -> None:
        super().__init__(topic, partition, offset, problem, remedy)
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition} at offset {self.offset}: {self.problem}: {self.remedy}"


class StartError(FanoutError):
    """An application's own lifespan failed to open; no record was read."""

    retriable = True

    def __init__(self, lifespan: str, reason: str) -> None:
        super().__init__(lifespan, reason)
        self.lifespan = lifespan
        self.reason = reason

    def __str__(self) -> str:
        return f"lifespan {self.lifespan} could not be opened: {self.reason}"


class WorkError(FanoutError):
    """Workers stopped before their work was finished. Unsettled records are read again."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}: {self.remedy}"


class ProofError(FanoutError):
    """Counts or sums differ. Nothing was deleted and the old group was not moved past the finished mark."""

    exit_code = 3

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}: {self.remedy}"


class NotFinishedError(FanoutError):
    """The work did not finish in the time given; the message says what stands."""

    exit_code = 4

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return self.problem
