"""Disks that fail: a sync or a read that gives EIO, and a file system that the kernel makes read-only under the outbox."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from agent.errors import OutboxError
from agent.outbox.database import LOG_BYTES
from tests.harness.broker import require
from tests.harness.ext4 import failing_ext4
from tests.harness.outbox import a_message, open_outbox
from tests.harness.strace import run_with_failing

COMMITS = "tests.harness.outbox_commits"
COMMIT_BYTES = 32 * 4096  # more than any of those commits takes


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def held(path: Path) -> list[str]:
    outbox = open_outbox(path)
    assert outbox.recovered is None
    found = [row.message.key for row in outbox.next_rows(1000)]
    outbox.close()
    return found


def test_a_sync_that_fails_stores_nothing_and_the_next_try_does(path: Path) -> None:
    files = [path, Path(f"{path}-wal")]
    said = run_with_failing("fdatasync:error=EIO:when=5+7", files, COMMITS, path, 60).splitlines()
    failed = [line for line in said if line.startswith("failed")]
    assert len(failed) >= 5
    assert {line.partition(": ")[2] for line in failed} == {f"{path}: disk I/O error; check the disk (dmesg)"}
    assert [line for line in said if line.startswith("stored")] == [f"stored {number}" for number in range(60)]
    assert said[-1] == "balance {'in': 60, 'out': 0, 'held': 60, 'dropped': 0}"
    assert held(path) == [f"a{number}" for number in range(60)]


def test_a_disk_that_never_syncs_again_is_told_and_what_was_stored_before_stays(path: Path) -> None:
    files = [path, Path(f"{path}-wal")]
    said = run_with_failing("fdatasync:error=EIO:when=20+", files, COMMITS, path, 40).splitlines()
    stored = [line.removeprefix("stored ") for line in said if line.startswith("stored")]
    assert 5 < len(stored) < 20
    assert held(path)[: len(stored)] == [f"a{number}" for number in stored]


@pytest.mark.parametrize("call", ["fdatasync", "pwrite64"])
def test_a_file_that_takes_nothing_from_its_log_any_more_does_not_let_the_log_grow_for_ever(
    path: Path, call: str
) -> None:
    """SQLite keeps silent about a checkpoint of its own that fails, and commits on."""
    outbox = open_outbox(path)
    outbox.commit([a_message("before")])
    outbox.close()
    said = run_with_failing(f"{call}:error=EIO:when=3+", [path], COMMITS, path, 60).splitlines()
    stored = [line.removeprefix("stored ") for line in said if line.startswith("stored")]
    failed = {line.partition(": ")[2] for line in said if line.startswith("failed")}
    assert failed == {f"{path}: disk I/O error; check the disk (dmesg)"}
    assert 5 < len(stored) < 60
    assert Path(f"{path}-wal").stat().st_size <= LOG_BYTES + COMMIT_BYTES
    assert held(path) == ["before", *(f"a{number}" for number in stored)]


def test_a_checkpoint_that_failed_is_made_up_for_and_everything_is_stored(path: Path) -> None:
    said = run_with_failing("fdatasync:error=EIO:when=3..15", [path], COMMITS, path, 60).splitlines()
    assert any(line.startswith("failed") for line in said)
    assert [line for line in said if line.startswith("stored")] == [f"stored {number}" for number in range(60)]
    assert Path(f"{path}-wal").exists() is False, "closed in good order"
    assert held(path) == [f"a{number}" for number in range(60)]


@pytest.mark.parametrize("read", [2, 5, 9])
def test_a_sector_that_cannot_be_read_at_the_start_is_damage_and_the_agent_starts(path: Path, read: int) -> None:
    outbox = open_outbox(path)
    outbox.commit([a_message(f"old{number}", size_bytes=800) for number in range(100)])
    outbox.close()
    said = run_with_failing(f"pread64:error=EIO:when={read}", [path], COMMITS, path, 3).splitlines()
    assert "recovered: Recovery" in said[0]
    assert said[-2] == "stored 2"
    assert held(path) == [f"old{number}" for number in range(100)] + ["a0", "a1", "a2"]


def test_a_file_system_that_becomes_read_only_is_told_and_keeps_what_was_stored(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with failing_ext4(disk) as fail:
        outbox = open_outbox(disk / "state" / "outbox.db")
        outbox.commit([a_message("before")], {"alarm": b"1"})
        fail()
        for _ in range(2):
            with pytest.raises(OutboxError, match=r"outbox\.db: .*(check the disk|let the service's user write)"):
                outbox.commit([a_message("after")], {"alarm": b"2"})
        assert [row.message.key for row in outbox.next_rows(9)] == ["before"]
        assert outbox.load_state() == {"alarm": b"1"}
        assert outbox.balance().as_dict() == {"in": 1, "out": 0, "held": 1, "dropped": 0}
        outbox.close()
        with pytest.raises(OutboxError, match=r"outbox\.db"):
            open_outbox(disk / "state" / "outbox.db")
    subprocess.run(
        [require("fsck.ext4", "e2fsprogs"), "-y", disk.with_suffix(".img")], capture_output=True, check=False
    )
    subprocess.run(["mount", "-o", "loop", disk.with_suffix(".img"), disk], check=True)
    try:
        outbox = open_outbox(disk / "state" / "outbox.db")
        assert outbox.recovered is None
        assert [row.message.key for row in outbox.next_rows(9)] == ["before"]
        outbox.commit([a_message("after")])
        outbox.close()
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
