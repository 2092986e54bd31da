"""Engines on disk: what is found again, what is not believed, and what has to go."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from agent.errors import InferenceError
from agent.infer.engine_cache import EngineCache
from agent.infer.engine_key import EngineKey
from tests.harness.engines import engine_key
from tests.harness.small_disk import small_disk

KEY = engine_key()


def put(cache: EngineCache, key: EngineKey, data: bytes = b"an engine") -> Path:
    with cache.begin() as folder:
        (folder / "engine.rtx").write_bytes(data)
        return cache.adopt(key, folder)


def other_model(number: int) -> EngineKey:
    return engine_key(model_sha256=f"{number:064x}")


def used(cache: EngineCache, key: EngineKey, second: int) -> None:
    os.utime(cache.folder / key.name / "entry.json", (second, second))


def test_what_was_built_is_found_again_by_another_process(tmp_path: Path) -> None:
    folder = put(EngineCache(tmp_path / "engines"), KEY)
    cache = EngineCache(tmp_path / "engines")
    assert cache.find(KEY) == folder
    assert (folder / "engine.rtx").read_bytes() == b"an engine"
    assert cache.counters.snapshot() == {"found": 1}


def test_nothing_is_found_or_made_where_nothing_was_built(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "engines")
    assert cache.find(KEY) is None
    assert not cache.folder.exists()
    assert cache.counters.snapshot() == {"missed": 1}


@pytest.mark.parametrize("part", ["tensorrt", "cuda", "driver", "capability"])
def test_an_engine_of_another_box_or_driver_is_not_found_and_makes_room(tmp_path: Path, part: str) -> None:
    cache = EngineCache(tmp_path)
    old = put(cache, KEY)
    newer = msgspec.structs.replace(KEY, **{part: "9"})
    assert cache.find(newer) is None
    assert old.exists()
    put(cache, newer)
    assert cache.find(newer) is not None
    assert not old.exists()


def test_an_engine_of_another_model_stays(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    put(cache, other_model(1))
    put(cache, other_model(2))
    assert cache.find(other_model(1)) is not None


@pytest.mark.parametrize("harm", ["flipped", "cut", "gone", "grown"])
def test_a_damaged_engine_is_not_given_out_and_removed(tmp_path: Path, harm: str) -> None:
    cache = EngineCache(tmp_path)
    engine = put(cache, KEY) / "engine.rtx"
    data = engine.read_bytes()
    if harm == "gone":
        engine.unlink()
    else:
        engine.write_bytes({"flipped": b"x" + data[1:], "cut": data[:-1], "grown": data + b"x"}[harm])
    assert cache.find(KEY) is None
    assert cache.counters.snapshot()["damaged"] == 1
    assert list(tmp_path.iterdir()) == []
    put(cache, KEY)
    assert cache.find(KEY) is not None


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"{}",
        b"\xff",
        b'{"key": 3}',
        msgspec.json.encode({"key": other_model(7), "files": {}}),
        msgspec.json.encode({"key": KEY, "files": {"../../etc/passwd": "00"}}),
        msgspec.json.encode({"key": KEY, "files": {"entry.json": "00"}}),
        msgspec.json.encode({"key": KEY, "files": {}, "more": 1}),
    ],
)
def test_an_entry_that_makes_no_sense_is_not_believed(tmp_path: Path, entry: bytes) -> None:
    cache = EngineCache(tmp_path)
    (put(cache, KEY) / "entry.json").write_bytes(entry)
    assert cache.find(KEY) is None
    assert cache.counters.snapshot()["damaged"] == 1


def test_the_longest_unused_goes_first_when_there_are_too_many(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path, max_engines=3)
    for number in (1, 2, 3):
        put(cache, other_model(number))
        used(cache, other_model(number), 1000 + number)
    assert cache.find(other_model(1)) is not None  # it is used now
    put(cache, other_model(4))
    left = [number for number in (1, 2, 3, 4) if cache.find(other_model(number)) is not None]
    assert left == [1, 3, 4]


def test_the_bytes_are_bounded_too(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path, max_bytes=5000)
    for number in (1, 2):
        put(cache, other_model(number), bytes(2000))
        used(cache, other_model(number), 1000 + number)
    put(cache, other_model(3), bytes(2000))
    assert [number for number in (1, 2, 3) if cache.find(other_model(number)) is not None] == [2, 3]


def test_an_engine_that_is_larger_than_all_may_be_is_refused(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path, max_bytes=100)
    with pytest.raises(InferenceError, match="at most 100 may be kept"):
        put(cache, KEY, bytes(101))
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_no_engine(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    with pytest.raises(InferenceError, match="0 files"), cache.begin() as folder:
        cache.adopt(KEY, folder)


def test_a_refusal_is_remembered_and_replaces_the_engine(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    put(cache, KEY)
    cache.refuse(KEY, "it misses its golden vectors")
    again = EngineCache(tmp_path)
    assert again.refusal(KEY) == "it misses its golden vectors"
    assert again.find(KEY) is None
    assert again.refusal(msgspec.structs.replace(KEY, driver="590.1")) is None


def test_an_engine_that_was_built_after_all_replaces_the_refusal(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    cache.refuse(KEY, "why")
    put(cache, KEY)
    assert cache.refusal(KEY) is None
    assert cache.find(KEY) is not None


def test_what_a_power_cut_left_half_built_is_never_found_and_cleared(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    half = tmp_path / ".building-abc"
    half.mkdir()
    (half / "engine.rtx").write_bytes(b"half")
    kept = put(cache, KEY)
    cache.clear_unfinished()
    assert list(tmp_path.iterdir()) == [kept]


def test_a_folder_without_its_entry_is_no_engine(tmp_path: Path) -> None:
    """What a file system may leave that orders its writes otherwise."""
    cache = EngineCache(tmp_path)
    (put(cache, KEY) / "entry.json").unlink()
    assert cache.find(KEY) is None
    assert cache.refusal(KEY) is None
    assert list(tmp_path.iterdir()) == []


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    with pytest.raises(RuntimeError, match="a defect"), cache.begin() as folder:
        (folder / "engine.rtx").write_bytes(b"half")
        raise RuntimeError("a defect")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(InferenceError, match=r"no engine can be kept in .*: Not a directory"),
        EngineCache(tmp_path / "file" / "engines").begin(),
    ):
        pass


def test_a_full_disk_is_said_and_keeps_the_engines_that_are_there(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        cache = EngineCache(disk / "engines")
        put(cache, KEY)
        (disk / "filler").write_bytes(bytes(900 * 1024))
        newer = other_model(2)
        with cache.begin() as folder:
            (folder / "engine.rtx").write_bytes(b"small enough")
            with (disk / "rest").open("wb", buffering=0) as rest:
                _fill(rest.fileno())
            with pytest.raises(InferenceError, match="No space left on device"):
                cache.adopt(newer, folder)
        assert cache.find(newer) is None
        assert cache.find(KEY) is not None


def _fill(opened: int) -> None:
    """To the last byte: whole pages first, then what is left of them."""
    for size in (4096, 1):
        try:
            while True:
                os.write(opened, bytes(size))
        except OSError:
            continue
