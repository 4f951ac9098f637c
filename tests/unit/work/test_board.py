"""What ran is still readable when its process is gone."""

from __future__ import annotations

import subprocess
import sys
import tempfile

from fanout.work.board import read_board

PROGRAM = """
import os, signal, sys
from fanout.work.board import Board, FREE
orders, clicks = Board(int(sys.argv[1]), [3, 2]).rows
orders[2], orders[3] = 1, 41
orders[4], orders[5] = 2, 7
orders[4] = FREE
clicks[0], clicks[1] = 0, 1 << 40
os.kill(os.getpid(), signal.SIGKILL)
"""
ROWS = [("orders", 3), ("clicks", 2)]


def test_what_a_killed_process_ran_is_known_and_what_it_had_finished_is_not_among_it() -> None:
    with tempfile.TemporaryFile() as file:
        ended = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(file.fileno())], pass_fds=[file.fileno()], check=False
        )
        assert ended.returncode == -9
        assert read_board(file.fileno(), ROWS) == [("orders", 1, 41), ("clicks", 0, 1 << 40)]


def test_a_process_that_never_wrote_ran_nothing() -> None:
    with tempfile.TemporaryFile() as file:
        assert read_board(file.fileno(), ROWS) == []
