"""A file that is kept twice: damage to one of the two is mended, to both is told, and a power cut at any step leaves the old or the new."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import msgspec
import pytest

from agent.bundles import twice
from agent.bundles.folder import DiskFolder, FakeFolder, Folder, PowerCut
from agent.bundles.sealed import seal, unseal
from agent.errors import BundleError

NAME, MOST = "book.json", 1000
OLD, NEW, EMPTY = (seal([word]) for word in ("old", "new", "begun anew"))
FOLDERS: dict[str, Callable[[Path], Folder]] = {
    "disk": lambda path: DiskFolder(path / "s"),
    "fake": lambda _: FakeFolder(),
}


def words(data: bytes) -> list[str]:
    try:
        return unseal(data, list[str])
    except ValueError as error:
        raise BundleError(f"it is damaged: {error}") from error


def read(folder: Folder) -> list[str] | None:
    return twice.read(folder, NAME, MOST, words)


def mend(folder: Folder, instead: bytes | None = None) -> str | None:
    return twice.mend(folder, NAME, MOST, words, instead)


@pytest.fixture(params=sorted(FOLDERS))
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    folder = FOLDERS[request.param](tmp_path)
    twice.write(folder, NAME, OLD)
    return folder


def test_what_is_sound_is_left_alone(folder: Folder) -> None:
    assert (mend(folder), read(folder), folder.names()) == (None, ["old"], [NAME, NAME + twice.COPY])


@pytest.mark.parametrize("damage", [b"", OLD[:-9], bytes(40), b"\xff" * 40, OLD.replace(b"old", b"odd")])
def test_a_damaged_file_is_read_and_mended_from_its_copy_and_kept_aside(folder: Folder, damage: bytes) -> None:
    folder.write(NAME, damage)
    assert read(folder) == ["old"]
    assert "it is damaged" in str(mend(folder, EMPTY))
    assert folder.read(NAME, MOST) == OLD
    assert folder.read(NAME + twice.DAMAGED, MOST) == damage
    assert twice.damaged(folder) == [NAME]
    assert mend(folder) is None


def test_a_damaged_copy_is_made_anew_and_nobody_needs_to_know(folder: Folder) -> None:
    folder.write(NAME + twice.COPY, b"{")
    assert mend(folder) is None
    assert folder.read(NAME + twice.COPY, MOST) == OLD
    assert twice.damaged(folder) == []


def test_damage_to_both_is_an_error_and_changes_nothing(folder: Folder) -> None:
    folder.write(NAME, b"{")
    folder.write(NAME + twice.COPY, b"[")
    for act in (read, mend):
        with pytest.raises(BundleError, match="it is damaged"):
            act(folder)
    assert (folder.read(NAME, MOST), folder.read(NAME + twice.COPY, MOST)) == (b"{", b"[")
    assert twice.damaged(folder) == []


def test_where_it_may_begin_anew_damage_to_both_is_set_aside(folder: Folder) -> None:
    folder.write(NAME, b"{")
    folder.write(NAME + twice.COPY, b"[")
    assert mend(folder, EMPTY) is not None
    assert (read(folder), twice.damaged(folder)) == (["begun anew"], [NAME])


def test_who_removes_the_file_wants_to_begin_anew_whatever_the_copy_says(folder: Folder) -> None:
    folder.remove(NAME)
    assert (read(folder), mend(folder, EMPTY), read(folder)) == (None, None, None)


def test_a_folder_in_the_place_of_either_is_damage_too(tmp_path: Path) -> None:
    folder = DiskFolder(tmp_path)
    twice.write(folder, NAME, OLD)
    for name, told in ((NAME, True), (NAME + twice.COPY, False)):
        (tmp_path / name).unlink()
        (tmp_path / name).mkdir()
        assert read(folder) == ["old"]
        assert (mend(folder) is not None) is told
        assert (tmp_path / name).read_bytes() == OLD
        assert name in twice.damaged(folder)


@pytest.mark.parametrize("steps", range(7))
def test_a_power_cut_within_a_write_leaves_the_old_or_the_new_and_no_damage(steps: int) -> None:
    for seed in range(20):
        folder = FakeFolder()
        twice.write(folder, NAME, OLD)
        folder.steps_left = steps
        try:
            twice.write(folder, NAME, NEW)
        except PowerCut:
            assert steps < 6
        folder.power_cut(Random(seed))
        assert read(folder) in ([["new"]] if steps == 6 else [["old"], ["new"]])
        before = read(folder)
        assert (mend(folder), read(folder)) == (None, before)
        assert folder.read(NAME, MOST) == folder.read(NAME + twice.COPY, MOST)


@pytest.mark.parametrize("steps", range(10))
def test_a_power_cut_within_the_mending_loses_nothing(steps: int) -> None:
    for seed in range(20):
        folder = FakeFolder()
        twice.write(folder, NAME, OLD)
        folder.write(NAME, b"{")
        folder.sync()
        folder.steps_left = steps
        try:
            mend(folder)
        except PowerCut:
            assert steps < 9
        folder.power_cut(Random(seed))
        mend(folder)
        assert (read(folder), twice.damaged(folder)) == (["old"], [NAME])


def test_a_document_without_a_seal_is_one_of_an_older_stethos() -> None:
    assert unseal(msgspec.json.encode(["a"]), list[str]) == ["a"]


def test_every_flipped_bit_of_a_sealed_document_is_seen_or_changes_nothing() -> None:
    data = seal(["a", "b"])
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            assert unseal(bytes(flipped), list[str]) == ["a", "b"]
        except ValueError:
            continue
