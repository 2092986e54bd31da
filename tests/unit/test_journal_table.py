"""The journal in the outbox: chained across restarts, bounded at its old end, brought to older files, begun anew behind damage."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agent.clock import FakeClock
from agent.commands.catalogue import History
from agent.decide.journal import Head, Verification, entry, verify
from agent.errors import OutboxError
from agent.outbox.history import answer, journal_of
from agent.outbox.store import Outbox
from tests.harness.outbox import a_message, gap_message, open_outbox


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def entries(count: int, first: int = 0) -> list[bytes]:
    return [entry("transition", {"by": "Meier", "comment": "seen", "number": first + n}) for n in range(count)]


def verified(path: Path) -> Verification:
    with journal_of(path) as journal:
        return verify(journal.page(0, 1_000_000), journal.anchor())


def opened(path: Path, journal_records: int) -> Outbox:
    return Outbox.open(path, 1_000_000, gap_message, FakeClock(), journal_records=journal_records)


def test_records_are_chained_across_restarts_from_a_beginning_that_says_so(path: Path) -> None:
    for run in range(3):
        outbox = open_outbox(path)
        outbox.commit(journal=entries(4, 4 * run))
        head = outbox.journal_head
        outbox.close()
    result = verified(path)
    assert (result.broken, result.records, result.pruned, result.openings) == (None, 13, 0, [])
    assert result.head == head
    with journal_of(path) as journal:
        shown = answer(journal, History(limit=500))["records"]
    assert shown[-1]["entry"]["reason"] == "a new journal"
    assert [each["entry"].get("number") for each in shown[:-1]] == list(range(11, -1, -1))


def test_a_commit_that_fails_leaves_the_chain_as_it_was(path: Path) -> None:
    outbox = open_outbox(path)
    outbox.commit([a_message("a")], journal=entries(1))
    head = outbox.journal_head
    with pytest.raises(OutboxError):
        outbox.commit([a_message("b")], {"s": object()}, journal=entries(1))  # type: ignore[dict-item]
    assert outbox.journal_head == head
    outbox.commit(journal=entries(1))
    outbox.close()
    assert verified(path).broken is None


def test_the_oldest_go_first_and_the_chain_still_hangs_on_the_last_of_them(path: Path) -> None:
    outbox = opened(path, 10)
    for number in range(30):
        outbox.commit(journal=entries(1, number))
    outbox.close()
    result = verified(path)
    assert (result.broken, result.records, result.pruned, result.head.seq) == (None, 10, 21, 31)
    outbox = opened(path, 3)
    outbox.commit(journal=entries(1, 30))
    assert "journal.anchor" not in outbox.load_state()
    outbox.close()
    assert (verified(path).broken, verified(path).pruned) == (None, 29)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM journal WHERE seq = 30")
    broken = verified(path).broken
    assert broken is not None
    assert broken.seq == 30


def test_an_outbox_without_a_journal_gets_one(path: Path) -> None:
    outbox = open_outbox(path)
    outbox.commit([a_message("a")], {"alarm/pump": b"1"})
    outbox.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE journal")
        connection.execute("PRAGMA user_version = 1")
        connection.execute("PRAGMA application_id = 0")
    with pytest.raises(OutboxError, match="kept no journal"), journal_of(path):
        pass
    outbox = open_outbox(path)
    assert outbox.load_state() == {"alarm/pump": b"1"}
    assert [row.message.key for row in outbox.next_rows(9)] == ["a"]
    outbox.commit(journal=entries(1))
    outbox.close()
    assert (verified(path).broken, verified(path).records) == (None, 2)


def test_behind_a_damaged_file_a_new_chain_says_what_is_missing(path: Path) -> None:
    outbox = open_outbox(path, 10_000_000)
    outbox.commit(journal=entries(600))
    outbox.close()
    with closing(sqlite3.connect(path)) as connection:
        root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'journal'").fetchone()[0]
    pages = path.stat().st_size // 4096
    with path.open("r+b") as file:
        file.seek(4096 * ((root + pages) // 2))
        file.write(b"\xff" * 4096)
    outbox = open_outbox(path, 10_000_000)
    assert outbox.recovered is not None
    outbox.commit(journal=entries(1, 600))
    outbox.close()
    result = verified(path)
    assert result.broken is None
    [(_, opening)] = result.openings
    assert "damaged" in opening.reason
    missing = sum(last - first + 1 for first, last in opening.missing)
    assert 0 < missing < 300
    assert result.records == 601 - missing + 2


def test_a_journal_lost_whole_begins_anew_and_says_why(path: Path) -> None:
    path.write_bytes(b"not a database at all " * 500)
    open_outbox(path).close()
    [(seq, opening)] = verified(path).openings
    assert (seq, opening.last) == (1, None)
    assert "damaged" in opening.reason


def test_a_file_that_an_agent_has_open_is_left_to_it(path: Path) -> None:
    outbox = open_outbox(path)
    with pytest.raises(OutboxError, match="another stethos has it open"), journal_of(path) as journal:
        journal.head()
    outbox.commit(journal=entries(1))
    outbox.close()
    with journal_of(path) as journal:
        assert journal.head() == Head(2, outbox.journal_head.hash)
    with pytest.raises(OutboxError, match="no such file"), journal_of(path.with_name("none.db")):
        pass
