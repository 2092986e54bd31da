"""From a bundle without an engine to one that runs on it, with the real builder; what stands in is the GPU that runs the outcome."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from agent.errors import BundleError, InferenceError
from agent.infer import engine_rtx
from agent.infer.bundle import Bundle, open_bundle, pack
from agent.infer.engine_build import Task, build_engine
from agent.infer.engine_cache import EngineCache
from agent.infer.engine_keeper import Build, EngineKeeper
from agent.infer.engine_options import engine_options, key_of
from agent.infer.engine_state import EngineState
from agent.infer.gpu import FakeGpu, Gpu
from agent.infer.manifest import Encryption
from agent.infer.providers import CPU, TENSORRT_RTX
from agent.infer.settings import InferenceSettings
from agent.infer.slot import ScorerSlot
from export import to_tensorrt
from tests.harness.bundles import KEY, PUBLIC, energy_model, entries, manifest, tiny_bundle
from tests.harness.engines import ADA, RTX_VERSION, FakeLoaded
from tests.harness.threads import at_work

pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: stethos[tensorrt], x86-64 alone")


class Box:
    """A box with a GPU whose plug-in runs every engine it is given: what `load` finds ready, it 'loads'."""

    def __init__(
        self, folder: Path, *, gpu: Gpu | None = ADA, version: str = RTX_VERSION, build: Build = build_engine
    ) -> None:
        self.settings = InferenceSettings(device="tensorrt-rtx", cache=folder)
        self.gpu, self.version, self.build = FakeGpu(gpu), version, build
        self.cache = EngineCache(folder / "engines")
        self.loaded: list[FakeLoaded] = []
        self.builds = 0
        self.misses: str | None = None

    def load(self, bundle: Bundle, settings: InferenceSettings) -> FakeLoaded:
        ready = engine_options(bundle, settings, self.gpu, lambda _: self.version)
        if ready is not None and self.misses is not None:
            self.cache.refuse(ready.key, self.misses)
            ready = None
        degraded = None if ready else "degraded: its engine is not ready"
        self.loaded.append(FakeLoaded(CPU if ready is None else ready.provider, degraded=degraded))
        return self.loaded[-1]

    def counted(self, task: Task, folder: Path, stop: threading.Event, told: Callable[[float], None]) -> bool:
        self.builds += 1
        return self.build(task, folder, stop, told)

    @contextmanager
    def keeper(self) -> Iterator[EngineKeeper]:
        keeper = EngineKeeper(
            self.settings,
            build=self.counted,
            load=self.load,
            gpu_of=self.gpu,
            version_of=lambda _: self.version,
            first_wait_s=0.01,
        )
        with at_work(keeper.run, ends_within_s=20):
            yield keeper


def bundle(**changes: object) -> Bundle:
    return open_bundle(tiny_bundle(**changes), [PUBLIC])


def settled(keeper: EngineKeeper, name: str = "tiny") -> EngineState:
    until = time.monotonic() + 100
    while time.monotonic() < until:
        state = keeper.states[name]
        if state.state in {"ready", "refused"}:
            return state
        time.sleep(0.01)
    raise AssertionError(f"still {keeper.states[name]}")


def run(box: Box, bundle: Bundle) -> tuple[EngineState, ScorerSlot, EngineKeeper]:
    slot = ScorerSlot(box.load(bundle, box.settings))
    with box.keeper() as keeper:
        keeper.watch("tiny", bundle, slot)
        return settled(keeper), slot, keeper


def test_an_engine_is_built_while_the_processor_serves_and_then_takes_its_place(tmp_path: Path) -> None:
    box = Box(tmp_path)
    state, slot, keeper = run(box, bundle())
    assert state == EngineState(state="ready")
    assert slot.provider == TENSORRT_RTX
    assert [each.provider for each in box.loaded] == [CPU, TENSORRT_RTX]
    assert box.loaded[0].closed
    assert not box.loaded[1].closed
    assert keeper.counters.snapshot() == {"built": 1, "swapped": 1}


def test_the_next_start_finds_the_engine_and_builds_nothing(tmp_path: Path) -> None:
    run(Box(tmp_path), bundle())
    again = Box(tmp_path)
    state, slot, _ = run(again, bundle())
    assert (state.state, again.builds, slot.provider) == ("ready", 0, TENSORRT_RTX)
    assert len(again.loaded) == 1


@pytest.mark.parametrize(
    "change", [{"driver": "590.10"}, {"cuda": "13.2"}, {"capability": "sm120"}], ids=["driver", "CUDA", "GPU"]
)
def test_a_changed_box_has_its_engine_built_anew_and_the_old_one_goes(tmp_path: Path, change: dict[str, str]) -> None:
    run(Box(tmp_path), bundle())
    (old,) = (tmp_path / "engines").iterdir()
    changed = Box(tmp_path, gpu=Gpu(**{**{name: getattr(ADA, name) for name in Gpu.__slots__}, **change}))
    state, _, _ = run(changed, bundle())
    (new,) = (tmp_path / "engines").iterdir()
    assert (state.state, changed.builds) == ("ready", 1)
    assert new != old


def test_a_damaged_engine_is_built_anew(tmp_path: Path) -> None:
    run(Box(tmp_path), bundle())
    (engine,) = (tmp_path / "engines").glob("*/engine.rtx")
    data = bytearray(engine.read_bytes())
    data[len(data) // 2] ^= 1
    engine.write_bytes(data)
    again = Box(tmp_path)
    state, _, _ = run(again, bundle())
    assert (state.state, again.builds) == ("ready", 1)


def shipped(**changes: object) -> Bundle:
    engines = to_tensorrt.engines(energy_model(), ["SM89"])
    facts = {
        name: structs.replace(each, **changes) for name, each in to_tensorrt.facts(energy_model(), engines).items()
    }
    parts = entries(manifest=msgspec.json.encode(manifest(engines=facts)))
    return open_bundle(pack({**parts, "engine.sm89.rtx": engines["sm89"]}, [KEY]), [PUBLIC])


def test_an_engine_from_the_signed_bundle_that_fits_is_used_at_once(tmp_path: Path) -> None:
    box = Box(tmp_path)
    state, slot, _ = run(box, shipped())
    assert (state.state, box.builds, slot.provider) == ("ready", 0, TENSORRT_RTX)


@pytest.mark.parametrize(
    "change", [{"tensorrt_rtx": "1.6.0"}, {"capability": "sm86"}, {"model_sha256": "00" * 32}, {"max_batch": 64}]
)
def test_an_engine_from_the_signed_bundle_that_does_not_fit_is_not_used(
    tmp_path: Path, change: dict[str, object]
) -> None:
    box = Box(tmp_path)
    state, _, _ = run(box, shipped(**change))
    assert (state.state, box.builds) == ("ready", 1)


@pytest.mark.parametrize("described", [True, False])
def test_an_engine_that_the_manifest_does_not_describe_or_that_is_not_there_is_a_broken_bundle(described: bool) -> None:
    facts = to_tensorrt.facts(energy_model(), {"sm89": b""}) if described else {}
    parts = entries(manifest=msgspec.json.encode(manifest(engines=facts)))
    data = pack(parts if described else {**parts, "engine.sm89.rtx": b"an engine"}, [KEY])
    with pytest.raises(BundleError, match="the bundle holds engines for"):
        open_bundle(data, [PUBLIC])


def test_an_engine_that_misses_its_golden_vectors_is_refused_once_and_for_all(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.misses = "the model misses its golden vectors"
    state, slot, keeper = run(box, bundle())
    assert (state.state, state.why) == ("refused", "the model misses its golden vectors")
    assert slot.provider == CPU
    assert not box.loaded[0].closed
    assert keeper.counters.snapshot()["refused"] == 1
    again = Box(tmp_path)
    state, slot, _ = run(again, bundle())
    assert (state.state, again.builds, slot.provider) == ("refused", 0, CPU)
    assert state.why is not None
    assert "to have it tried again" in state.why


def test_a_crash_is_counted_and_tried_again(tmp_path: Path) -> None:
    crashes = iter([True, True, False])

    def build(task: Task, folder: Path, stop: threading.Event, told: Callable[[float], None]) -> bool:
        (folder / "half").write_bytes(b"half")
        if next(crashes):
            raise InferenceError("ended by SIGSEGV")
        (folder / "half").unlink()
        return build_engine(task, folder, stop, told)

    box = Box(tmp_path, build=build)
    state, _, keeper = run(box, bundle())
    assert state.state == "ready"
    assert keeper.counters.snapshot() == {"failed": 2, "built": 1, "swapped": 1}
    assert {path.name for path in (tmp_path / "engines").glob("*/*")} == {"engine.rtx", "entry.json"}


def test_it_gives_up_after_a_bounded_number_of_crashes(tmp_path: Path) -> None:
    def build(task: Task, folder: Path, stop: threading.Event, told: Callable[[float], None]) -> bool:
        raise InferenceError("ended by SIGSEGV")

    box = Box(tmp_path, build=build)
    state, slot, _ = run(box, bundle())
    assert state == EngineState(state="refused", why="given up after 3 attempts: ended by SIGSEGV")
    assert (box.builds, slot.provider) == (3, CPU)


def test_a_model_that_the_builder_cannot_take_is_not_tried_again(tmp_path: Path) -> None:
    def build(task: Task, folder: Path, stop: threading.Event, told: Callable[[float], None]) -> bool:
        raise BundleError("TensorRT-RTX cannot take model.onnx: node x (Det)")

    box = Box(tmp_path, build=build)
    state, _, _ = run(box, bundle())
    assert (state.state, box.builds) == ("refused", 1)
    again = Box(tmp_path)
    assert run(again, bundle())[0].state == "refused"
    assert again.builds == 0


@pytest.mark.parametrize(
    ("gpu", "version", "why"),
    [
        (None, RTX_VERSION, "no NVIDIA GPU answers"),
        (Gpu("NVIDIA H100", "sm90", "13.0", "580.1"), RTX_VERSION, "NVIDIA H100: .* no engines for SM90"),
        (ADA, "1.6.2", "builder is 1.7.1, its plug-in 1.6.2"),
    ],
)
def test_what_the_box_lacks_is_said(tmp_path: Path, gpu: Gpu | None, version: str, why: str) -> None:
    box = Box(tmp_path, gpu=gpu, version=version)
    state, slot, _ = run(box, bundle())
    assert state.state == "refused"
    assert state.why is not None
    assert re.search(why, state.why)
    assert (box.builds, slot.provider) == (0, CPU)


def test_an_encrypted_model_gets_no_engine_that_would_lie_on_the_disk_in_the_clear(tmp_path: Path) -> None:
    box, plain = Box(tmp_path), bundle()
    encrypted = replace(plain, manifest=structs.replace(plain.manifest, encryption=Encryption(key_id="k")))
    state, slot, _ = run(box, encrypted)
    assert (state.state, box.builds, slot.provider) == ("refused", 0, CPU)
    assert state.why is not None
    assert "have its supplier ship one" in state.why
    assert not (tmp_path / "engines").exists()


def test_a_newer_bundle_that_came_during_the_build_keeps_its_place(tmp_path: Path) -> None:
    building, go_on = threading.Event(), threading.Event()

    def build(task: Task, folder: Path, stop: threading.Event, told: Callable[[float], None]) -> bool:
        building.set()
        go_on.wait(60)
        return build_engine(task, folder, stop, told)

    box = Box(tmp_path, build=build)
    slot = ScorerSlot(box.load(bundle(), box.settings))
    newer = FakeLoaded("newer")
    with box.keeper() as keeper:
        keeper.watch("tiny", bundle(), slot)
        assert building.wait(60)
        slot.replace(newer)
        go_on.set()
        until = time.monotonic() + 60
        while len(box.loaded) < 2 or not box.loaded[-1].closed:
            assert time.monotonic() < until
            time.sleep(0.01)
    assert slot.current is newer
    assert not newer.closed


def test_a_stop_in_the_middle_of_a_build_ends_it_and_leaves_nothing(tmp_path: Path) -> None:
    building = threading.Event()

    def build(task: Task, folder: Path, stop: threading.Event, told: Callable[[float], None]) -> bool:
        (folder / "half").write_bytes(b"half")
        building.set()
        return not stop.wait(60)

    box = Box(tmp_path, build=build)
    slot = ScorerSlot(box.load(bundle(), box.settings))
    with box.keeper() as keeper:
        keeper.watch("tiny", bundle(), slot)
        assert building.wait(60)
        assert keeper.states["tiny"].state == "building"
    assert list((tmp_path / "engines").iterdir()) == []
    assert slot.provider == CPU


def test_the_log_tells_how_far_the_build_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "agent.infer.engine_keeper"):
        run(Box(tmp_path), bundle())
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "building the TensorRT engine of tiny for sm89, attempt 1"
    assert lines[-1] == "tiny runs on its TensorRT engine"
    assert "building the TensorRT engine of tiny: 100 %" in lines


def test_nothing_is_watched_where_no_engine_is_asked_for(tmp_path: Path) -> None:
    keeper = EngineKeeper(InferenceSettings(device="cpu", cache=tmp_path))
    keeper.watch("tiny", bundle(), ScorerSlot(FakeLoaded(CPU)))
    assert keeper.states == {}


def test_a_built_engine_is_given_to_the_plug_in_as_it_was_built(tmp_path: Path) -> None:
    box, given = Box(tmp_path), bundle()
    run(box, given)
    options = engine_options(given, box.settings, box.gpu, lambda _: box.version)
    assert options is not None
    (engine,) = (tmp_path / "engines").glob("*/engine.rtx")
    assert engine.read_bytes() in options.model
    assert options.options == {
        "nv_profile_min_shapes": "window:1x3x8",
        "nv_profile_opt_shapes": "window:16x3x8",
        "nv_profile_max_shapes": "window:256x3x8",
    }


def test_the_key_names_the_plain_model(tmp_path: Path) -> None:
    key = key_of(bundle(), "tensorrt-rtx", FakeGpu(ADA), lambda _: RTX_VERSION)
    assert key.model_sha256 == to_tensorrt.facts(energy_model(), {"sm89": b""})["sm89"].model_sha256
    assert engine_rtx.builder_version() == RTX_VERSION
    assert msgspec.json.decode(msgspec.json.encode(key), type=type(key)) == key
