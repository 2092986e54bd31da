"""The audit journal through SIGKILL at any moment, a power cut at any byte, and a full disk: whole, and never behind what was committed."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import select
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.clock import FakeClock
from agent.decide.journal import Sealed, entry, verify
from agent.outbox.history import journal_of
from agent.outbox.store import Outbox
from agent.types import Kind
from tests.harness.outbox import a_message, gap_message, open_outbox
from tests.harness.small_disk import fill, small_disk

KILLS = 25


def an_entry(number: int, length: int = 40) -> bytes:
    return entry("transition", {"by": "Meier", "number": number, "comment": "x" * length})


def numbers(records: list[Sealed]) -> list[int]:
    """Those that the entries carry, without the opening."""
    bodies = [json.loads(each.record)["entry"] for each in records]
    return [body["number"] for body in bodies if body["kind"] == "transition"]


def commit_for_ever(path: Path, first: int, report: int) -> None:
    outbox = Outbox.open(path, 64_000_000, gap_message, FakeClock(), journal_records=50)
    number = first
    while True:
        outbox.commit([a_message(str(number))], {"number": str(number).encode()}, journal=[an_entry(number)])
        os.write(report, b"%d %s\n" % (number, outbox.journal_head.hash.encode()))
        number += 1


def test_killed_amid_commits_the_chain_is_whole_and_holds_what_the_state_holds(tmp_path: Path) -> None:
    randomness, path, next_number = random.Random(2), tmp_path / "outbox.db", 0
    for kill in range(KILLS):
        receiver, report = os.pipe()
        child = multiprocessing.get_context("fork").Process(target=commit_for_ever, args=(path, next_number, report))
        child.start()
        os.close(report)
        if kill % 5:  # else it may still be opening the file
            assert select.select([receiver], [], [], 30)[0], "a first commit"
        time.sleep(randomness.uniform(0.01, 0.08))
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join(30)
        with os.fdopen(receiver, "rb") as reports:
            told = [line.split() for line in reports.read().splitlines()]
        outbox = open_outbox(path, 64_000_000)
        assert outbox.recovered is None
        last = int(outbox.load_state().get("number", b"-1"))
        outbox.close()
        with journal_of(path) as journal:
            anchor, records = journal.anchor(), journal.page(0, 1000)
        result = verify(records, anchor)
        assert result.broken is None
        found = numbers(records)
        assert found == list(range(last - len(found) + 1, last + 1)), (
            "a commit's record is there with its state, or neither"
        )
        if told and len(told[-1]) == 2:
            number, digest = int(told[-1][0]), told[-1][1].decode()
            assert last in {number, number + 1}
            assert records[-1 if last == number else -2].hash == digest
        next_number = last + 1
    assert next_number > KILLS


def test_a_power_cut_at_any_byte_of_the_log_leaves_a_whole_chain(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    outbox = open_outbox(path)
    sizes = []
    for number in range(6):
        outbox.commit([a_message(str(number))], {"number": str(number).encode()}, journal=[an_entry(number)])
        sizes.append((tmp_path / "outbox.db-wal").stat().st_size)
    log = (tmp_path / "outbox.db-wal").read_bytes()
    randomness = random.Random(3)
    cuts = sorted({randomness.randrange(sizes[0], len(log) + 1) for _ in range(60)} | set(sizes))
    for cut in cuts:
        torn = tmp_path / f"torn-{cut}"
        torn.mkdir()
        shutil.copy(path, torn / "outbox.db")
        # what a disk holds behind the last byte that it wrote is anything
        (torn / "outbox.db-wal").write_bytes(log[:cut] + randomness.randbytes(randomness.randrange(3) * 700))
        with journal_of(torn / "outbox.db") as journal:
            records = journal.page(0, 100)
        assert verify(records).broken is None
        durable = sum(size <= cut for size in sizes)
        assert numbers(records) == list(range(durable))
        revived = open_outbox(torn / "outbox.db")
        assert revived.recovered is None
        assert revived.load_state() == {"number": str(durable - 1).encode()}
        revived.commit(journal=[an_entry(durable)])
        revived.close()
        with journal_of(torn / "outbox.db") as journal:
            assert verify(journal.page(0, 100)).broken is None


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 8) as folder:
        yield folder


@pytest.mark.parametrize("summaries", [0, 1000])
def test_on_a_full_disk_the_newest_records_get_in_at_the_cost_of_summaries_and_then_of_the_oldest(
    disk: Path, summaries: int
) -> None:
    path = disk / "outbox.db"
    outbox = open_outbox(path, 64_000_000)
    outbox.commit([a_message(f"s{number}", Kind.SUMMARY, 1000) for number in range(summaries)])
    for start in range(0, 1000, 100):
        outbox.commit(journal=[an_entry(number, 400) for number in range(start, start + 100)])
    fill(disk / "runaway.log")
    for number in range(1000, 2000):
        outbox.commit([a_message(f"a{number}")], {"number": str(number).encode()}, journal=[an_entry(number, 400)])
    assert outbox.load_state() == {"number": b"1999"}
    assert outbox.balance().missing == 0
    if summaries:
        assert outbox.counters["evicted"] > 0
    outbox.close()
    with journal_of(path) as journal:
        records, anchor = journal.page(0, 10_000), journal.anchor()
    assert verify(records, anchor).broken is None
    found = numbers(records)
    assert found == list(range(2000 - len(found), 2000))
    assert len(found) > 500
