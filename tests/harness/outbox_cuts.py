"""Cut an outbox short at its writes, again and again: `python -m tests.harness.outbox_cuts FOLDER CUTS kill|power FULL|NORMAL` prints what was lost."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import msgspec

from agent.outbox.policy import Gap
from agent.types import Kind, Message
from tests.harness.outbox import a_message, open_outbox
from tests.harness.power_cut import KILL, POWER_CUT, cut_at

MAX_BYTES = 64 * 1024
# Opening and eight commits make about so many changes to the files; the cut goes to each of them in turn.
MOST_CALLS = 97


@dataclass
class Found:
    """Alarms whose commit had returned and that are gone, summaries that no gap record tells of, and commits that are there by halves."""

    cuts: int = 0
    commits: int = 0
    evicted: int = 0
    lost: int = 0
    untold: int = 0
    halves: int = 0
    cut_in: Counter[str] = field(default_factory=Counter)


def messages_of(number: int) -> list[Message]:
    random = Random(number)
    kinds = [random.choice((Kind.ALARM, Kind.SUMMARY)) for _ in range(random.randint(1, 4))]
    return [a_message(f"{number}/{part}", kind, random.choice((60, 700, 3000))) for part, kind in enumerate(kinds)]


def delivered_before(number: int) -> int:
    """How many of the oldest alarms the broker has taken when commit `number` is made; it makes them forgotten."""
    return Random(-number).randint(0, 3)


def commit_for_ever(path: Path, synchronous: str, report: int) -> None:
    """Write the number of each commit to `report` after it returned."""
    outbox = open_outbox(path, MAX_BYTES)
    outbox._connection.execute(f"PRAGMA synchronous = {synchronous}")
    number = int(outbox.load_state().get("number", b"-1")) + 1
    while True:
        taken = [row.id for row in outbox.next_rows(delivered_before(number)) if row.message.kind is Kind.ALARM]
        outbox.commit(messages_of(number), {"number": b"%d" % number}, delivered=taken)
        os.write(report, b"%d\n" % number)
        number += 1


def look(path: Path, folder: Path) -> tuple[int, list[Message]]:
    """The number of the last commit, and what waits; from a copy, so that the next process meets the files as they were left."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for suffix in ("", "-wal"):
        if (left := path.with_name(path.name + suffix)).exists():
            shutil.copy(left, folder)
    outbox = open_outbox(folder / path.name, MAX_BYTES)
    assert outbox.recovered is None, outbox.recovered
    number = int(outbox.load_state().get("number", b"-1"))
    waiting = [row.message for row in outbox.next_rows(1_000_000)]
    outbox.close()
    return number, waiting


def cut_again_and_again(folder: Path, cuts: int, mode: int, synchronous: str) -> Found:
    path, found = folder / "outbox.db", Found()
    alarms: list[str] = []
    summaries, last = 0, -1
    for cut in range(cuts):
        call = 1 + cut * 31 % MOST_CALLS  # coprime: every call in turn, early and late ones mixed
        lines = cut_at(call, mode, cut, lambda report: commit_for_ever(path, synchronous, report))
        returned = int(lines[-2]) if len(lines) > 1 else last
        number, waiting = look(path, folder / "look")
        for committed in range(last + 1, max(returned, number) + 1):
            del alarms[: delivered_before(committed)]
            kinds = [message.kind for message in messages_of(committed)]
            alarms += [message.key for message in messages_of(committed) if message.kind is Kind.ALARM]
            summaries += kinds.count(Kind.SUMMARY)
        gaps = [msgspec.json.decode(each.payload, type=Gap) for each in waiting if each.kind is Kind.GAP]
        told = sum(loss.count for gap in gaps for loss in gap.losses if loss.kind == "summary")
        there = [message.key for message in waiting if message.kind is Kind.ALARM]
        accounted = told + sum(message.kind is Kind.SUMMARY for message in waiting)
        found.cuts += 1
        found.cut_in[lines[-1]] += 1
        found.lost += len(set(alarms) - set(there))
        found.untold += abs(summaries - accounted)
        found.halves += there != alarms or number not in {returned, returned + 1}
        found.commits, found.evicted = number + 1, told
        alarms, summaries, last = there, accounted, number
    return found


if __name__ == "__main__":
    folder, cuts, mode, synchronous = sys.argv[1:]
    result = cut_again_and_again(Path(folder), int(cuts), {"kill": KILL, "power": POWER_CUT}[mode], synchronous)
    print(msgspec.json.encode(result).decode())
