"""
The checker that every proof rests on.

recipe    what record N looks like, byte for byte
ledger    what the broker acknowledged, and what became of it
generate  known records into a real Kafka: codecs, transactions that commit, abort or stay open, compaction, a feed
read      what a target shows, by clients that are not fanout: confluent-kafka and kafka-python
state     where offsets and transactions stand, asked of the same
check     the comparison, each fault by a check of its own
prove     all of it in one call, and where lost records were last seen
effects   the same for what handlers did

A checker can check nothing and stay green, so `test_oracle.py` plants a bug of every kind and demands that exactly the
check it was planted for finds it.
"""

from __future__ import annotations

from .check import EndState, Expectation, Record, check
from .effects import Effect, check_effects
from .ledger import Fate, Ledger
from .recipe import Content, Recipe
from .verdict import Finding, Verdict

__all__ = [
    "Content",
    "Effect",
    "EndState",
    "Expectation",
    "Fate",
    "Finding",
    "Ledger",
    "Recipe",
    "Record",
    "Verdict",
    "check",
    "check_effects",
]
