"""
Which target partitions each source partition may write.

Each target has one source partition, so its records come in source order and one
lane writes it. Every source partition has at least one target; the rest follow the
work there is. The core deals them, so that every process comes to the same answer.
"""

from __future__ import annotations

from collections.abc import Mapping

from fanout import _fanout
from fanout.errors import RefusedError

__all__ = ["allot"]


def allot(work: Mapping[int, float], targets: int) -> dict[int, tuple[int, ...]]:
    """Shares `targets` out in proportion to the `work`, in records, of each source partition.

    Raises RefusedError when there are fewer targets than source partitions.
    """
    if targets < len(work):
        raise RefusedError(
            f"{targets} target partitions are fewer than the {len(work)} source partitions",
            f"each source partition needs one of its own: --partitions {len(work)} or more",
        )
    sources = sorted(work)
    shares = _fanout.allot([max(0, round(work[source])) for source in sources], targets)
    return {source: tuple(share) for source, share in zip(sources, shares, strict=True)}
