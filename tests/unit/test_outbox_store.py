"""The outbox's store: what is durable, what is private, what a second opener and a damaged file meet."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import msgspec
import pytest

from agent.clock import FakeClock
from agent.errors import OutboxError
from agent.outbox.policy import Gap, row_bytes
from agent.outbox.store import MIN_BYTES, Outbox
from agent.types import Kind
from tests.harness.outbox import a_message, gap_message, open_outbox


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.db"


def keys(outbox: Outbox) -> list[str]:
    return [row.message.key for row in outbox.next_rows(1000)]


def test_messages_and_state_survive_reopening_unchanged(path: Path) -> None:
    message = a_message("a", Kind.SUMMARY, expiry_s=3600, created_ns=7)
    outbox = open_outbox(path)
    outbox.commit([message], {"alarm/pump-1": b"\x00state"})
    outbox.close()
    outbox = open_outbox(path)
    assert [row.message for row in outbox.next_rows(10)] == [message]
    assert outbox.load_state() == {"alarm/pump-1": b"\x00state"}
    assert outbox.recovered is None


def test_alarms_go_first_then_the_order_of_entering(path: Path) -> None:
    outbox = open_outbox(path)
    outbox.commit([a_message("s1", Kind.SUMMARY), a_message("a1")])
    outbox.commit([a_message("s2", Kind.SUMMARY), a_message("a2")])
    assert keys(outbox) == ["a1", "a2", "s1", "s2"]


def test_rows_and_topics_left_out_do_not_hold_up_others(path: Path) -> None:
    outbox = open_outbox(path)
    outbox.commit([a_message("a1"), a_message("a2"), a_message("s1", Kind.SUMMARY)])
    first = outbox.next_rows(1)[0]
    assert [row.message.key for row in outbox.next_rows(9, exclude_ids=[first.id])] == ["a2", "s1"]
    assert [row.message.key for row in outbox.next_rows(9, exclude_topics=[first.message.topic])] == ["s1"]


def test_the_same_key_twice_is_one_row(path: Path) -> None:
    outbox = open_outbox(path)
    outbox.commit([a_message("a"), a_message("a")])
    outbox.commit([a_message("a")])
    assert keys(outbox) == ["a"]
    assert outbox.counters["duplicates"] == 2
    assert outbox.balance().as_dict() == {"in": 1, "out": 0, "held": 1, "dropped": 0}


def test_what_was_held_at_the_start_has_entered(path: Path) -> None:
    outbox = open_outbox(path)
    outbox.commit([a_message("a"), a_message("b")])
    outbox.close()
    outbox = open_outbox(path)
    outbox.delete([outbox.next_rows(1)[0].id, 999])
    assert outbox.balance().as_dict() == {"in": 2, "out": 1, "held": 1, "dropped": 0}


def test_a_failing_commit_changes_nothing(path: Path) -> None:
    outbox = open_outbox(path)
    outbox.commit([a_message("a")], {"s": b"1"})
    with pytest.raises(OutboxError):
        outbox.commit([a_message("b")], {"s": object()})  # type: ignore[dict-item]
    assert keys(outbox) == ["a"]
    assert outbox.load_state() == {"s": b"1"}
    assert outbox.balance().entered == 1


def test_summaries_make_way_for_alarms_and_the_gap_record_says_so(path: Path) -> None:
    outbox = open_outbox(path, MIN_BYTES)
    outbox.commit([a_message(f"s{i}", Kind.SUMMARY, 3000, created_ns=i) for i in range(5)])
    outbox.commit([a_message(f"a{i}", size_bytes=3000) for i in range(5)])
    assert [key for key in keys(outbox) if not key.startswith("gap")] == ["a0", "a1", "a2", "a3", "a4"]
    gap = msgspec.json.decode(outbox.next_rows(9)[-1].message.payload, type=Gap)
    assert [(loss.kind, loss.count, loss.first_created_ns, loss.last_created_ns) for loss in gap.losses] == [
        ("summary", 5, 0, 4)
    ]
    assert outbox.balance().dropped == 5
    assert outbox.balance().missing == 0


def test_a_summary_too_many_is_itself_what_goes_when_only_alarms_are_held(path: Path) -> None:
    outbox = open_outbox(path, MIN_BYTES)
    alarms = [a_message(f"a{i}", size_bytes=3000) for i in range(4)]
    outbox.commit(alarms)
    outbox.commit([a_message("s", Kind.SUMMARY, 4000)])
    assert [key for key in keys(outbox) if not key.startswith("gap")] == ["a0", "a1", "a2", "a3"]


def test_rows_in_flight_go_after_others_of_their_kind(path: Path) -> None:
    outbox = open_outbox(path, MIN_BYTES)
    outbox.commit([a_message(f"s{i}", Kind.SUMMARY, 3000) for i in range(5)])
    oldest = outbox.next_rows(1)[0]
    outbox.commit([a_message("new", Kind.SUMMARY, 3000)], in_flight=[oldest.id])
    assert [key for key in keys(outbox) if not key.startswith("gap")] == ["s0", "s2", "s3", "s4", "new"]


def test_a_delivered_gap_record_closes_its_gap(path: Path) -> None:
    outbox = open_outbox(path, MIN_BYTES)
    outbox.commit([a_message(f"s{i}", Kind.SUMMARY, 3000) for i in range(8)])
    gap_row = next(row for row in outbox.next_rows(99) if row.message.kind is Kind.GAP)
    outbox.delete([gap_row.id])
    outbox.commit([a_message("more", Kind.SUMMARY, 6000)])
    gap = next(row.message for row in outbox.next_rows(99) if row.message.kind is Kind.GAP)
    body = msgspec.json.decode(gap.payload, type=Gap)
    assert (body.revision, body.losses[0].count) == (1, 2)


def test_folder_and_files_are_the_owners_alone(path: Path) -> None:
    outbox = open_outbox(path)
    outbox.commit([a_message("a")])
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert files == dict.fromkeys(("outbox.db", "outbox.db-wal", "outbox.db.ballast", "outbox.db.reserve"), 0o600)


def test_a_commit_is_synced_to_the_disk_itself(path: Path) -> None:
    """No kill shows this, a power cut does."""
    connection = open_outbox(path)._connection
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_second_opener_is_told_who_is_in_the_way(path: Path) -> None:
    outbox = open_outbox(path)
    with pytest.raises(OutboxError, match=r"outbox\.db: database is locked; another stethos"):
        open_outbox(path)
    outbox.commit([a_message("a")])


def test_a_newer_format_is_left_alone(path: Path) -> None:
    open_outbox(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.execute(f"PRAGMA application_id = {int.from_bytes(b'STE' + bytes([99]))}")
    connection.close()
    with pytest.raises(OutboxError, match="newer stethos"):
        open_outbox(path)


def test_a_cap_too_small_to_hold_an_alarm_is_refused(path: Path) -> None:
    with pytest.raises(OutboxError, match="give the outbox at least"):
        open_outbox(path, 100)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutboxError, match="file"):
        open_outbox(tmp_path / "file" / "outbox.db")


def test_bytes_on_disk_stay_bounded_while_far_more_passes_through(path: Path) -> None:
    max_bytes = 256 * 1024
    outbox = open_outbox(path, max_bytes)
    for number in range(200):
        outbox.commit([a_message(f"{number}-{i}", Kind.SUMMARY, (number * 37 + i * 911) % 9000) for i in range(5)])
    on_disk = sum((path.parent / name).stat().st_size for name in ("outbox.db", "outbox.db-wal"))
    assert on_disk <= 2 * max_bytes + 1024 * 1024 + 512 * 1024
    assert sum(row_bytes(row.message) for row in outbox.next_rows(10_000)) <= max_bytes
    assert outbox.balance().missing == 0


def test_ids_of_a_new_file_never_repeat_those_of_an_earlier_one(path: Path) -> None:
    clock = FakeClock()
    outbox = Outbox.open(path, 1_000_000, gap_message, clock)
    outbox.commit([a_message("a")])
    first_id = outbox.next_rows(1)[0].id
    outbox.close()
    path.unlink()
    clock.advance(1_000_000)
    outbox = Outbox.open(path, 1_000_000, gap_message, clock)
    outbox.commit([a_message("a")])
    assert outbox.next_rows(1)[0].id > first_id
