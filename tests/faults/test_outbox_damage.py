"""A damaged outbox: moved aside, what can be read is saved, and the agent starts and says so."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from agent.clock import FakeClock
from agent.outbox.database import DamagedOutboxError
from agent.outbox.store import Outbox
from agent.types import Kind
from tests.harness.outbox import a_message, open_outbox

PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def filled(path: Path, count: int = 200) -> None:
    outbox = open_outbox(path, 10_000_000)
    outbox.commit([a_message(f"m{i}", size_bytes=800) for i in range(count)], {"alarm/pump-1": b"snapshot"})
    outbox.close()


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def keys(outbox: Outbox) -> list[str]:
    return [row.message.key for row in outbox.next_rows(1000)]


def test_no_database_at_all_is_moved_aside(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)
    outbox = open_outbox(path)
    assert outbox.recovered is not None
    assert outbox.recovered.saved == 0
    assert outbox.recovered.moved_to.read_bytes().startswith(b"not a database")
    outbox.commit([a_message("a")])
    assert keys(outbox) == ["a"]


def test_rows_on_both_sides_of_the_damage_are_saved_with_the_state(path: Path) -> None:
    filled(path)
    overwrite(path, (path.stat().st_size // PAGE // 2) * PAGE, b"\xff" * PAGE)
    outbox = open_outbox(path)
    assert outbox.recovered is not None
    saved = keys(outbox)
    assert outbox.recovered.saved == len(saved)
    assert 150 <= len(saved) < 200
    assert saved == sorted(saved, key=lambda key: int(key[1:]))
    assert {"m0", "m199"} <= set(saved)
    assert outbox.load_state() == {"alarm/pump-1": b"snapshot"}
    outbox.close()
    assert open_outbox(path).recovered is None


def test_a_truncated_file_loses_no_more_than_its_tail(path: Path) -> None:
    filled(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2 // PAGE * PAGE)
    outbox = open_outbox(path)
    assert outbox.recovered is not None
    outbox.commit([a_message("later", Kind.SUMMARY)])
    assert keys(outbox)[-1] == "later"


def test_a_torn_write_ahead_log_costs_the_torn_commit_alone(path: Path, tmp_path: Path) -> None:
    outbox = open_outbox(path)
    outbox.commit([a_message("first")])
    size_after_first = (tmp_path / "outbox.db-wal").stat().st_size
    outbox.commit([a_message("second")])
    torn = tmp_path / "torn"
    torn.mkdir()
    (torn / "outbox.db").write_bytes(path.read_bytes())
    log = (tmp_path / "outbox.db-wal").read_bytes()
    (torn / "outbox.db-wal").write_bytes(log[: size_after_first + 100])
    outbox = open_outbox(torn / "outbox.db")
    assert keys(outbox) == ["first"]
    assert outbox.recovered is None


@pytest.mark.parametrize("page", range(0, 24, 3))
def test_whichever_page_is_overwritten_the_agent_starts(path: Path, page: int) -> None:
    filled(path)
    overwrite(path, page * PAGE, bytes(range(256)) * (PAGE // 256))
    outbox = open_outbox(path)
    outbox.commit([a_message("later")])
    assert "later" in keys(outbox)
    assert outbox.balance().missing == 0


def test_a_kind_that_does_not_exist_is_damage_and_costs_that_row_alone(path: Path) -> None:
    filled(path, 10)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("UPDATE message SET kind = 9 WHERE key = 'm4'")
    outbox = open_outbox(path)
    assert outbox.recovered is not None
    assert keys(outbox) == [f"m{n}" for n in range(10) if n != 4]


def test_a_gap_record_that_cannot_be_read_does_not_keep_the_agent_from_starting(path: Path) -> None:
    filled(path, 1)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("INSERT INTO state VALUES ('outbox.gap', x'ff')")
    assert keys(open_outbox(path)) == ["m0"]


def test_only_the_newest_damaged_files_are_kept(path: Path) -> None:
    clock = FakeClock()
    for _ in range(5):
        path.write_bytes(b"rubbish " * 1000)
        open_outbox(path, clock=clock).close()
        clock.advance(1_000_000_000)
    assert len(list(path.parent.glob("outbox.db.damaged-*"))) == 2


def test_damage_met_while_running_is_told_apart_and_mended_by_reopening(path: Path) -> None:
    filled(path, 5000)  # more than SQLite keeps in memory
    outbox = open_outbox(path, 10_000_000)
    overwrite(path, 5 * PAGE, b"\xff" * PAGE * 20)
    with pytest.raises(DamagedOutboxError, match="moved aside when it is opened next"):
        outbox.next_rows(5000)
    outbox.close()
    again = open_outbox(path, 10_000_000, counters=outbox.counters)
    assert again.recovered is not None
    assert 0 < again.recovered.saved < 5000
    assert again.counters["lost"] == 5000 - again.recovered.saved
    assert again.balance().missing == 0
