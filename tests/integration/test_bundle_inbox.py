"""The folder that bundles are dropped into, on a real disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.bundles.inbox import MOST_REFUSED, SETTLED_NS, Inbox
from agent.clock import FakeClock
from agent.errors import BundleError


class Dropped:
    """An inbox and the clock that it looks at."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "inbox"
        self.clock = FakeClock()
        self.inbox = Inbox(self.folder, 1_000, self.clock)
        self.inbox.begin()

    def drop(self, name: str, data: bytes = b"data") -> None:
        (self.folder / name).write_bytes(data)

    def later(self) -> str | None:
        self.clock.advance(SETTLED_NS)
        return self.inbox.poll()

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())


@pytest.fixture
def dropped(tmp_path: Path) -> Dropped:
    return Dropped(tmp_path)


def test_a_file_is_taken_once_it_has_not_changed_for_two_seconds(dropped: Dropped) -> None:
    dropped.drop("a.stethos")
    assert dropped.inbox.poll() is None
    dropped.clock.advance(SETTLED_NS - 1)
    assert dropped.inbox.poll() is None
    dropped.clock.advance(1)
    assert dropped.inbox.poll() == "a.stethos"
    assert dropped.inbox.read("a.stethos") == b"data"
    assert dropped.later() is None, "it is taken once"
    dropped.inbox.done("a.stethos")
    assert dropped.names() == []


def test_a_file_that_grows_or_is_written_over_waits_on(dropped: Dropped) -> None:
    dropped.drop("a.stethos", b"da")
    dropped.inbox.poll()
    dropped.drop("a.stethos", b"data")
    assert dropped.later() is None
    (dropped.folder / "new").write_bytes(b"atad")
    os.utime(dropped.folder / "new", ns=(1, (dropped.folder / "a.stethos").stat().st_mtime_ns))
    (dropped.folder / "new").rename(dropped.folder / "a.stethos")
    assert dropped.later() is None, "another file of the same size and time"
    assert dropped.later() == "a.stethos"


def test_what_is_no_plain_bundle_file_is_left_alone(dropped: Dropped, tmp_path: Path) -> None:
    dropped.drop("notes.txt")
    dropped.drop(".a.stethos")
    dropped.drop("a.stethos.part")
    dropped.drop("a\nb.stethos")
    (dropped.folder / "folder.stethos").mkdir()
    (tmp_path / "elsewhere").write_bytes(b"x")
    (dropped.folder / "link.stethos").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(dropped.folder / "pipe.stethos")
    before = dropped.names()
    assert dropped.later() is None
    assert dropped.later() is None
    assert dropped.names() == before


def test_a_refused_file_lies_aside_with_the_reason(dropped: Dropped) -> None:
    dropped.drop("a.stethos")
    dropped.later()
    dropped.later()
    dropped.inbox.refuse("a.stethos", "no trusted key signed it")
    assert dropped.names() == ["refused/a.stethos", "refused/a.stethos.refused"]
    assert (dropped.folder / "refused" / "a.stethos.refused").read_text() == "no trusted key signed it\n"
    assert dropped.inbox.refused() == ["a.stethos"]
    (dropped.folder / "refused" / "a.stethos.refused").unlink()
    assert dropped.inbox.refused() == []


def test_refused_files_are_bounded_in_number_the_oldest_go(dropped: Dropped) -> None:
    for number in range(MOST_REFUSED + 4):
        dropped.drop(f"{number:02}.stethos")
        dropped.later()
        assert dropped.later() == f"{number:02}.stethos"
        dropped.inbox.refuse(f"{number:02}.stethos", "no")
        reason = dropped.folder / "refused" / f"{number:02}.stethos.refused"
        os.utime(reason, ns=(number, number))
    assert dropped.inbox.refused() == [f"{number:02}.stethos" for number in range(4, MOST_REFUSED + 4)]
    assert len(dropped.names()) == 2 * MOST_REFUSED


def test_refused_files_are_bounded_in_bytes_their_reasons_stay(
    dropped: Dropped, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.bundles.inbox.MOST_REFUSED_BYTES", 100)
    for name in ("a.stethos", "b.stethos"):
        dropped.drop(name, bytes(70))
        dropped.later()
        dropped.later()
        dropped.inbox.refuse(name, "no")
        os.utime(dropped.folder / "refused" / f"{name}.refused", ns=(ord(name[0]), ord(name[0])))
    assert dropped.names() == ["refused/a.stethos.refused", "refused/b.stethos", "refused/b.stethos.refused"]


def test_a_file_that_ended_the_agent_is_not_taken_again(dropped: Dropped) -> None:
    dropped.drop("a.stethos")
    dropped.later()
    dropped.later()
    again = Inbox(dropped.folder, 1_000, dropped.clock)
    assert [name for name, _ in again.begin()] == ["a.stethos"]
    assert (
        "the agent ended while this file was proved" in (dropped.folder / "refused" / "a.stethos.refused").read_text()
    )
    assert again.begin() == []


def test_of_a_file_that_is_too_long_one_byte_too_many_is_read(dropped: Dropped) -> None:
    dropped.drop("a.stethos", bytes(5_000))
    dropped.later()
    dropped.later()
    assert len(dropped.inbox.read("a.stethos")) == 1_001


def test_a_folder_that_cannot_be_made_or_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "inbox").write_text("a file")
    with pytest.raises(BundleError, match=r"inbox: .*let the agent's user write to the inbox"):
        Inbox(tmp_path / "inbox", 1_000, FakeClock()).begin()
