"""SIGKILL in the middle of commits: what a commit returned for is there, whole, and nothing twice."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

from agent.types import Kind
from tests.harness.outbox import a_message, open_outbox

KILLS = 40
PER_COMMIT = 3


def commit_for_ever(path: Path, first: int, report: int) -> None:
    """Write the number of each commit to `report` after it returned."""
    outbox = open_outbox(path, 64_000_000)
    number = first
    while True:
        messages = [a_message(f"{number}/{part}", Kind(part % 3), 700) for part in range(PER_COMMIT)]
        outbox.commit(messages, {"number": str(number).encode()})
        os.write(report, b"%d\n" % number)
        number += 1


def kill_amid_commits(path: Path, first: int, life_s: float) -> int:
    """The last commit that is known to have returned, or `first` - 1."""
    receiver, report = os.pipe()
    child = multiprocessing.get_context("fork").Process(target=commit_for_ever, args=(path, first, report))
    child.start()
    os.close(report)
    time.sleep(life_s)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join(10)
    with os.fdopen(receiver, "rb") as reports:
        numbers = [int(line) for line in reports.read().split()]
    return numbers[-1] if numbers else first - 1


def test_no_commit_that_returned_is_lost_and_none_is_there_by_halves(tmp_path: Path) -> None:
    randomness = random.Random(1)
    path = tmp_path / "outbox.db"
    next_number = 0
    committed = 0
    for _ in range(KILLS):
        returned = kill_amid_commits(path, next_number, randomness.uniform(0.01, 0.08))
        outbox = open_outbox(path, 64_000_000)
        assert outbox.recovered is None
        keys = [row.message.key for row in outbox.next_rows(1_000_000)]
        state = outbox.load_state()
        outbox.close()
        last = int(state["number"]) if state else -1
        assert last in {returned, returned + 1}  # the kill may fall between the commit and its report
        assert sorted(keys) == sorted(f"{n}/{part}" for n in range(last + 1) for part in range(PER_COMMIT))
        committed += last + 1 - next_number
        next_number = last + 1
    assert committed > KILLS
