"""What every folder of the store promises, on disk and in the fake alike; and what is synced when."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from agent.bundles.folder import DiskFolder, FakeFolder, Folder, PowerCut, remove_unfinished, replace
from agent.errors import BundleError

FOLDERS: dict[str, Callable[[Path], Folder]] = {
    "disk": lambda path: DiskFolder(path / "s"),
    "fake": lambda _: FakeFolder(),
}


@pytest.fixture(params=sorted(FOLDERS))
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    return FOLDERS[request.param](tmp_path)


def test_an_empty_folder_has_no_files(folder: Folder) -> None:
    assert folder.names() == []
    assert folder.read("a", 10) is None
    folder.remove("a")


def test_what_was_written_is_read_renamed_and_removed(folder: Folder) -> None:
    folder.write("b", b"two")
    folder.write("a", b"one")
    assert folder.names() == ["a", "b"]
    folder.rename("a", "b")
    assert (folder.names(), folder.read("b", 10)) == (["b"], b"one")
    folder.remove("b")
    folder.sync()
    assert folder.names() == []


def test_one_byte_more_than_asked_for_shows_a_file_that_is_too_long(folder: Folder) -> None:
    folder.write("a", b"0123456789")
    assert folder.read("a", 4) == b"01234"


def test_a_replaced_file_holds_all_of_the_new(folder: Folder) -> None:
    replace(folder, "a", b"old")
    replace(folder, "a", b"new and longer")
    assert (folder.names(), folder.read("a", 100)) == (["a"], b"new and longer")


def test_unfinished_files_are_cleared(folder: Folder) -> None:
    folder.write("a.new", b"half")
    folder.write("a", b"whole")
    remove_unfinished(folder)
    assert folder.names() == ["a"]


@pytest.mark.parametrize("steps", range(4))
def test_a_power_cut_within_a_replace_leaves_the_old_or_the_new(steps: int) -> None:
    for seed in range(20):
        folder = FakeFolder()
        replace(folder, "a", b"old")
        folder.steps_left = steps
        try:
            replace(folder, "a", b"new")
        except PowerCut:
            assert steps < 3
        folder.power_cut(Random(seed))
        assert folder.read("a", 10) in ([b"new"] if steps == 3 else [b"old", b"new"])


def test_on_disk_the_file_is_synced_before_its_name_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        done.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    folder = DiskFolder(tmp_path)
    renamed = Path.rename
    monkeypatch.setattr(Path, "rename", lambda path, to: (done.append(f"rename {path.name}"), renamed(path, to))[1])
    replace(folder, "a", b"data")
    assert done == ["sync a.new", "rename a.new", f"sync {tmp_path.name}"]


def test_files_are_private_and_a_link_is_not_written_through(tmp_path: Path) -> None:
    folder = DiskFolder(tmp_path / "s")
    folder.write("a", b"x")
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "s" / "a").stat().st_mode & 0o777 == 0o600
    (tmp_path / "elsewhere").write_bytes(b"kept")
    (tmp_path / "s" / "b").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="let the agent's user write there"):
        folder.write("b", b"spoilt")
    assert (tmp_path / "elsewhere").read_bytes() == b"kept"


def test_a_disk_that_fails_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match=r"file/a: Not a directory"):
        DiskFolder(tmp_path / "file").read("a", 1)
