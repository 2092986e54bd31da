"""The outbox's thread: durable before announced, kept until acknowledged, never stuck behind a refusal or a full disk."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.errors import OutboxError
from agent.metrics import Counters
from agent.outbox import writer as writer_module
from agent.outbox.store import Outbox
from agent.outbox.writer import OutboxWriter
from agent.types import Commit, Kind, Message, Retained
from agent.upstream.fake import FakeLink
from tests.harness.broker import wait_until
from tests.harness.outbox import a_message, open_outbox, running_writer

AVAILABILITY = "stethos/line-3/availability"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def link() -> FakeLink:
    return FakeLink(AVAILABILITY)


def a_commit(*keys: str, kind: Kind = Kind.ALARM) -> Commit:
    return Commit(tuple(a_message(key, kind) for key in keys))


def arrived(link: FakeLink, kind: Kind = Kind.ALARM) -> list[str]:
    return [payload.rstrip(b".").decode() for payload in link.broker.payloads(f"stethos/line-3/{kind.name.lower()}")]


def held_keys(path: Path) -> list[str]:
    outbox = open_outbox(path)
    try:
        return [row.message.key for row in outbox.next_rows(1000)]
    finally:
        outbox.close()


def test_rows_are_delivered_and_forgotten_once_acknowledged(path: Path, link: FakeLink) -> None:
    with running_writer(path, link) as writer:
        link.events = writer
        link.connect()
        for number in range(100):
            writer.submit(a_commit(f"a{number}"), 30.0)
        assert writer.drain(30.0)
    assert arrived(link) == [f"a{number}" for number in range(100)]
    assert held_keys(path) == []
    assert writer.status is not None
    assert writer.status.balance.as_dict() == {"in": 100, "out": 100, "held": 0, "dropped": 0}


def test_a_row_acknowledged_just_before_the_stop_is_not_sent_again(path: Path, link: FakeLink) -> None:
    with running_writer(path, link) as writer:
        link.events = writer
        link.connect()
        writer.submit(a_commit("a"), 30.0)
        wait_until(lambda: arrived(link) == ["a"], 30.0, "delivery")
    assert held_keys(path) == []


def test_without_a_link_everything_waits_on_disk_and_drain_does_not_wait_for_it(path: Path, link: FakeLink) -> None:
    with running_writer(path, link) as writer:
        writer.submit(a_commit("a", "b"), 30.0)
        assert writer.drain(30.0)
    assert held_keys(path) == ["a", "b"]


def test_the_last_run_s_state_is_there_before_anything_else(path: Path, link: FakeLink) -> None:
    with running_writer(path, link) as writer:
        writer.submit(Commit(state={"alarm/pump-1": b"1"}), 30.0)
        writer.submit(Commit(state={"alarm/pump-1": b"2"}), 30.0)
    with running_writer(path, link) as writer:
        assert writer.wait_ready(30.0) == {"alarm/pump-1": b"2"}


def test_what_was_left_by_the_last_run_goes_first(path: Path, link: FakeLink) -> None:
    with running_writer(path, link) as writer:
        writer.submit(a_commit("old"), 30.0)
    with running_writer(path, link) as writer:
        link.events = writer
        writer.submit(a_commit("new"), 30.0)
        link.connect()
        assert writer.drain(30.0)
    assert arrived(link) == ["old", "new"]


class Recorder:
    """A link that notes, at the moment it is told, what another look at the disk finds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: list[tuple[str, list[str]]] = []

    def publish(self, _session: int, rows: Sequence[tuple[int, Message]]) -> None:
        self.seen.append(("publish", self.on_disk()))

    def retain(self, retained: Retained) -> None:
        self.seen.append((retained.topic, self.on_disk()))

    def on_disk(self) -> list[str]:
        copy = self.path.with_name("copy.db")
        for suffix in ("", "-wal"):
            copy.with_name(copy.name + suffix).write_bytes(self.path.with_name(self.path.name + suffix).read_bytes())
        return held_keys(copy)


def test_nothing_is_announced_before_it_is_on_disk(path: Path) -> None:
    recorder = Recorder(path)
    with running_writer(path, recorder) as writer:
        writer.up(1, 20)
        writer.submit(Commit((a_message("a"),), retained=(Retained("standing", b"[]"),)), 30.0)
        wait_until(lambda: len(recorder.seen) == 2, 30.0, "both announcements")
    assert recorder.seen == [("standing", ["a"]), ("publish", ["a"])]


def test_no_more_than_the_window_is_in_flight_and_alarms_take_it_first(path: Path, link: FakeLink) -> None:
    link.broker.silent = True
    with running_writer(path, link) as writer:
        link.events = writer
        writer.submit(a_commit(*(f"s{n}" for n in range(5)), kind=Kind.SUMMARY), 30.0)
        writer.submit(a_commit(*(f"a{n}" for n in range(5))), 30.0)
        assert writer.drain(30.0)
        link.connect(receive_maximum=7)
        wait_until(lambda: len(arrived(link)) + len(arrived(link, Kind.SUMMARY)) >= 7, 30.0, "the window to fill")
        assert not writer.drain(0.2)
    assert arrived(link) == [f"a{n}" for n in range(5)]
    assert arrived(link, Kind.SUMMARY) == ["s0", "s1"]


def test_rows_without_an_answer_are_sent_again_in_the_next_connection(path: Path, link: FakeLink) -> None:
    with running_writer(path, link) as writer:
        link.events = writer
        link.broker.silent = True
        link.connect()
        writer.submit(a_commit("a"), 30.0)
        wait_until(lambda: arrived(link) == ["a"], 30.0, "the first try")
        link.broker.silent = False
        link.drop()
        link.connect()
        assert writer.drain(30.0)
    assert arrived(link) == ["a", "a"]
    assert held_keys(path) == []


def test_a_refused_row_is_kept_and_tried_again_while_others_go_on(path: Path, link: FakeLink) -> None:
    link.broker.refuses["stethos/line-3/alarm"] = "Not authorized"
    with running_writer(path, link) as writer:
        link.events = writer
        link.connect()
        writer.submit(a_commit("a"), 30.0)
        writer.submit(a_commit("s", kind=Kind.SUMMARY), 30.0)
        wait_until(lambda: arrived(link, Kind.SUMMARY) == ["s"], 30.0, "the summary")
        assert writer.drain(30.0)
        assert writer.status is not None
        assert writer.status.refused == {"stethos/line-3/alarm": "Not authorized"}
        assert writer.status.balance.held == 1
        del link.broker.refuses["stethos/line-3/alarm"]
        wait_until(lambda: arrived(link) == ["a"], 30.0, "the alarm, once it is allowed")
        wait_until(lambda: writer.status is not None and writer.status.refused == {}, 30.0, "a clean status")


def test_a_disk_error_keeps_commits_in_order_and_says_so_until_it_is_over(
    path: Path, link: FakeLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = threading.Event()
    commit = Outbox.commit

    def failing(outbox: Outbox, *arguments: object) -> None:
        if broken.is_set():
            raise OutboxError("disk is full; free space")
        commit(outbox, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Outbox, "commit", failing)
    with running_writer(path, link) as writer:
        link.events = writer
        link.connect()
        broken.set()
        for number in range(3):
            writer.submit(a_commit(f"a{number}"), 30.0)
        wait_until(lambda: writer.status is not None and writer.status.disk_error is not None, 30.0, "the error shown")
        assert not writer.drain(0.1)
        assert arrived(link) == []
        broken.clear()
        wait_until(lambda: arrived(link) == ["a0", "a1", "a2"], 30.0, "delivery after the disk came back")
        assert writer.drain(30.0)
        assert writer.status is not None
        assert writer.status.disk_error is None


def test_back_pressure_reaches_the_submitter_with_the_reason(
    path: Path, link: FakeLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "MAX_WAITING_COMMITS", 3)
    writer = OutboxWriter(lambda counters: open_outbox(path, counters=counters), link, SystemClock())
    for number in range(3):
        writer.submit(a_commit(f"a{number}"), 0.1)
    with pytest.raises(OutboxError, match="3 commits wait for the disk"):
        writer.submit(a_commit("a3"), 0.1)


def test_a_store_that_cannot_be_opened_is_told_to_whoever_waits(tmp_path: Path, link: FakeLink) -> None:
    (tmp_path / "file").write_text("")
    writer = OutboxWriter(
        lambda counters: open_outbox(tmp_path / "file" / "db", counters=counters), link, SystemClock()
    )
    with pytest.raises(OutboxError):
        writer.run(threading.Event())
    with pytest.raises(OutboxError, match="file"):
        writer.wait_ready(1.0)


def test_whoever_waits_for_a_large_file_is_told_that_it_is_still_being_opened(
    path: Path, link: FakeLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_STILL_OPENING_S", 0.01)
    go_on, told = threading.Event(), []

    def open_slowly(counters: Counters) -> Outbox:
        assert go_on.wait(30.0)
        return open_outbox(path, counters=counters)

    def still_opening() -> None:
        told.append(1)
        if len(told) == 3:
            go_on.set()

    writer, stop = OutboxWriter(open_slowly, link, SystemClock()), threading.Event()
    thread = threading.Thread(target=writer.run, args=(stop,), daemon=True)
    thread.start()
    assert writer.wait_ready(30.0, still_opening) == {}
    assert len(told) >= 3
    stop.set()
    thread.join(30.0)
    with pytest.raises(OutboxError, match=r"did not open within 0\.05 s"):
        OutboxWriter(open_slowly, link, SystemClock()).wait_ready(0.05)


def test_a_thread_started_again_goes_on_with_what_was_submitted(path: Path, link: FakeLink) -> None:
    attempts = []

    def open_second_time(counters: Counters) -> Outbox:
        attempts.append(1)
        if len(attempts) == 1:
            raise OutboxError("the disk is not mounted yet")
        return open_outbox(path, counters=counters)

    writer = OutboxWriter(open_second_time, link, SystemClock())
    stop = threading.Event()
    with pytest.raises(OutboxError, match="not mounted"):
        writer.run(stop)
    writer.submit(a_commit("a"), 1.0)
    stop.set()
    writer.run(stop)
    assert held_keys(path) == ["a"]


class Watched(threading.Event):
    """Counts the looks at it."""

    looks = 0

    def is_set(self) -> bool:
        self.looks += 1
        return super().is_set()


def test_it_looks_whether_to_stop_without_any_work(path: Path, link: FakeLink) -> None:
    """Which is the sign of life that the supervisor goes by."""
    writer, stop = OutboxWriter(lambda counters: open_outbox(path, counters=counters), link, SystemClock()), Watched()
    thread = threading.Thread(target=writer.run, args=(stop,))
    thread.start()
    try:
        wait_until(lambda: stop.looks > 3, 30.0, "more looks")
    finally:
        stop.set()
        thread.join(30.0)
    assert not thread.is_alive()
