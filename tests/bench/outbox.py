"""The outbox: alarms a second made durable beside bare SQLite, a start on a backlog of 1 GB, a live alarm behind a backlog, and kills."""

from __future__ import annotations

import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.clock import SystemClock
from agent.outbox.policy import row_bytes
from agent.outbox.store import Outbox
from agent.outbox.writer import OutboxWriter
from agent.types import Commit, Kind, Message, Retained
from agent.upstream.link import Link
from tests.bench.figures import Figure, significant
from tests.bench.rounds import alternate
from tests.harness.broker import Broker, Subscriber
from tests.harness.link import running, settings_for
from tests.harness.outbox import a_message, open_outbox, running_writer
from tests.harness.power_cut import run_with_cuts
from tests.harness.threads import at_work

_ALARMS = 20_000
_ALARM_BYTES = 700
_ROUNDS = 5
_BACKLOG_BYTES = 10**9
_SUMMARIES = 20_000
_LIVE_ALARMS = 50
_CUTS_OF_A_KIND = 500
_ROOM_BYTES = 4 * _BACKLOG_BYTES


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name:
        yield _durable(Path(name))
    with tempfile.TemporaryDirectory() as name:
        yield from _recovery(Path(name))
    with tempfile.TemporaryDirectory() as name:
        yield from _live_alarm(Path(name))
    with tempfile.TemporaryDirectory() as name:
        yield _kills(Path(name))


class _Nowhere:
    """A link that is down."""

    def publish(self, session: int, rows: Sequence[tuple[int, Message]]) -> None:
        """Nothing is sent."""

    def retain(self, retained: Retained) -> None:
        """Nobody is told."""


def _durable(folder: Path) -> Figure:
    """Through the writer's queue and thread; bare SQLite then makes the same transactions, row for row."""
    transactions: list[list[Message]] = []
    alarms = [a_message(f"pump-{number % 20}/{number}", size_bytes=_ALARM_BYTES) for number in range(_ALARMS)]
    state = {"alarm/pump-1": bytes(300)}

    class Noted(Outbox):
        def commit(self, messages: Sequence[Message] = (), *others: object) -> None:
            transactions.append(list(messages))
            super().commit(messages, *others)  # type: ignore[arg-type]

    def ours() -> float:
        transactions.clear()
        path = folder / "ours.db"
        open_store = lambda counters: Noted.open(path, _ROOM_BYTES, _no_gap, SystemClock(), counters)  # noqa: E731
        writer = OutboxWriter(open_store, _Nowhere(), SystemClock())
        with at_work(writer.run):
            writer.wait_ready(10.0)
            started = time.perf_counter()
            for alarm in alarms:
                writer.submit(Commit((alarm,), state), 10.0)
            if not writer.drain(60.0):
                raise RuntimeError("the disk did not take all alarms in a minute")
            rate = _ALARMS / (time.perf_counter() - started)
        _remove(path)
        return rate

    def bare() -> float:
        path = folder / "bare.db"
        open_outbox(path, _ROOM_BYTES).close()  # the same tables and indexes
        connection = sqlite3.connect(path, isolation_level=None)
        for pragma in ("locking_mode = EXCLUSIVE", "synchronous = FULL", "wal_autocheckpoint = 64"):
            connection.execute(f"PRAGMA {pragma}")
        put = "INSERT INTO message (key, kind, topic, payload, created_ns, expiry_s, size_bytes) VALUES (?, ?, ?, ?, ?, ?, ?)"
        started = time.perf_counter()
        for messages in transactions:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                put,
                [(m.key, int(m.kind), m.topic, m.payload, m.created_ns, m.expiry_s, row_bytes(m)) for m in messages],
            )
            connection.executemany("INSERT OR REPLACE INTO state (name, value) VALUES (?, ?)", state.items())
            connection.execute("COMMIT")
        rate = _ALARMS / (time.perf_counter() - started)
        connection.close()
        _remove(path)
        return rate

    found = alternate(ours, bare, _ROUNDS)
    against = (
        f"bare SQLite making the same transactions: {found.bare:,.0f} alarms/s, here {found.ours:,.0f}; alarms of"
        f" {_ALARM_BYTES} bytes with their state, {_ALARMS / len(transactions):.0f} to a transaction, each synced"
    )
    return Figure("outbox.durable", significant(found.ratio), "of bare speed", against, ">= 0.8")


def _recovery(folder: Path) -> Iterator[Figure]:
    """An agent that was killed, started again; what is read comes from the disk, not from memory."""
    path = folder / "outbox.db"
    rows = _fill(path)
    size = f"{rows:,} messages, a file of {path.stat().st_size / 1e9:.2f} GB, not in the page cache"
    seconds, peak_mb, held = _start(path)
    if held != rows:
        raise RuntimeError(f"{rows - held} messages are missing")
    yield Figure("outbox.recovery_s", significant(seconds), "s", f"from the start to the first message; {size}", "< 30")
    yield Figure("outbox.recovery_rss", significant(peak_mb), "MB", f"the highest of the process; {size}", "< 100")
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(b"\xff" * 4096)
    seconds, peak_mb, held = _start(path)
    damaged = f"one page overwritten, {rows - held} messages lost; {size}"
    yield Figure("outbox.salvage_s", significant(seconds), "s", damaged)
    yield Figure("outbox.salvage_rss", significant(peak_mb), "MB", damaged, "< 100")


def _fill(path: Path) -> int:
    outbox = open_outbox(path, _ROOM_BYTES)
    rows = 0
    while sum(held.bytes for held in outbox.held.values()) < _BACKLOG_BYTES:
        kinds = (Kind.ALARM, Kind.SUMMARY, Kind.SUMMARY, Kind.SUMMARY)
        outbox.commit([a_message(f"m{rows + i}", kinds[i % 4], _ALARM_BYTES) for i in range(1000)])
        rows += 1000
    outbox.close()
    return rows


# The peak from /proc: that of getrusage goes on from the parent's.
_START = """
import sys, time
from pathlib import Path
from tests.harness.outbox import open_outbox
started = time.perf_counter()
outbox = open_outbox(Path(sys.argv[1]), int(sys.argv[2]))
assert outbox.next_rows(20)
seconds = time.perf_counter() - started
peak_kb = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
print(seconds, 1.024e-3 * int(peak_kb), sum(held.rows for held in outbox.held.values()))
"""


def _start(path: Path) -> tuple[float, float, int]:
    """Seconds, the peak of resident memory in MB, messages held."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    command = [sys.executable, "-c", _START, str(path), str(_ROOM_BYTES)]
    seconds, peak_mb, held = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(seconds), float(peak_mb), int(held)


def _live_alarm(folder: Path) -> Iterator[Figure]:
    """After an outage: alarms raised while the backlog of summaries is sent, until a consumer has them."""
    path, taken_ms = folder / "outbox.db", []
    outbox = open_outbox(path, _ROOM_BYTES)
    outbox.commit([a_message(f"s{number}", Kind.SUMMARY, _ALARM_BYTES) for number in range(_SUMMARIES)])
    outbox.close()
    with (
        Broker(folder, ["log_type error"]) as broker,
        Subscriber(broker.host, broker.port, "stethos/line-3/alarm") as consumer,
    ):
        link = Link(settings_for(broker.port), SystemClock())
        with running_writer(path, link, max_bytes=_ROOM_BYTES) as writer, running(link, writer):
            for number in range(_LIVE_ALARMS):
                time.sleep(0.03)
                started = time.perf_counter()
                writer.submit(Commit((a_message(f"a{number}", size_bytes=_ALARM_BYTES),)), 5.0)
                consumer.wait_for(lambda seen, wanted=number + 1: len(seen) == wanted)
                taken_ms.append(1e3 * (time.perf_counter() - started))
            status = writer.status
            left = 0 if status is None else sum(held.rows for held in status.held.values())
    if not left:
        raise RuntimeError("the backlog was sent before the last alarm was raised")
    against = f"{_LIVE_ALARMS} alarms while {_SUMMARIES - left:,} of {_SUMMARIES:,} summaries are sent to mosquitto; raised until received"
    yield Figure("outbox.live_alarm.p50", significant(statistics.median(taken_ms)), "ms", against)
    yield Figure("outbox.live_alarm.max", significant(max(taken_ms)), "ms", against)


def _kills(folder: Path) -> Figure:
    """Half of them SIGKILL, half power cuts that take back what no sync covered, each at another change of a file."""
    lost = commits = 0
    for mode in ("kill", "power"):
        place = folder / mode
        place.mkdir()
        module = "tests.harness.outbox_cuts"
        found = json.loads(run_with_cuts(module, place, place, _CUTS_OF_A_KIND, mode, "FULL", timeout_s=900.0))
        if found["halves"] or found["untold"]:
            raise RuntimeError(f"{mode}: {found}")
        lost, commits = lost + found["lost"], commits + found["commits"]
    against = f"{_CUTS_OF_A_KIND} SIGKILLs and {_CUTS_OF_A_KIND} power cuts amid writes, {commits:,} commits, none there by halves"
    return Figure("outbox.kills_lost", lost, "alarms", against, "0")


def _remove(path: Path) -> None:
    for left in path.parent.glob(f"{path.name}*"):
        left.unlink()


def _no_gap(*_: object) -> Message:
    raise AssertionError("nothing is evicted")


if __name__ == "__main__":
    for figure in measure():
        print(f"{figure.name} = {figure.value:g} {figure.unit}, goal {figure.goal} ({figure.against})", flush=True)
