"""`fanout doctor`: can this cluster be reached, and what does it allow?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from .output import Answer

if TYPE_CHECKING:
    from fanout.kafka.checkup import Finding

    from .frame import Frame

__all__ = ["doctor"]

TIMEOUT_S = 10.0
"""Who asks whether a cluster answers does not want to wait long to hear that it does not."""


def doctor(context: typer.Context) -> None:
    """Look at the connection, versions, transactions and replication; change nothing.

    Exits with 1 when something stands in the way of a drain, with 75 when no broker answers.
    """
    from fanout.kafka.checkup import check_up, client_versions

    frame: Frame = context.obj
    session = frame.open("doctor", timeout_s=TIMEOUT_S)
    findings = [*client_versions(), *check_up(session.cluster, session.admin.cluster())]
    session.show(_answer(findings))
    raise typer.Exit(1 if any(finding.verdict == "fail" for finding in findings) else 0)


def _answer(findings: list[Finding]) -> Answer:
    return Answer(
        document={
            "findings": [
                {"check": one.check, "verdict": one.verdict, "found": one.found, "remedy": one.remedy}
                for one in findings
            ]
        },
        columns=("verdict", "check", "found", "remedy"),
        rows=[(one.verdict, one.check, one.found, one.remedy or None) for one in findings],
    )
