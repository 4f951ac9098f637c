"""Long runs meet the end of a producer id: 32,767 epochs, an hour and three quarters at five commits a second."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from contract.test_seam import cargo_test, passed

if TYPE_CHECKING:
    from conftest import Kafka


def test_a_lane_goes_on_when_its_producer_id_is_used_up(kafka: Kafka) -> None:
    said = cargo_test(kafka, "when_its_producer_id_is_used_up")

    figures = re.search(r"epochs=(\d+) first_id=(\d+) next_id=(\d+)", said)
    assert passed(said) == 1
    assert figures is not None, said
    print(figures[0])
    assert int(figures[1]) > 30_000
    assert figures[2] != figures[3]
