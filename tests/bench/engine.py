"""A start with a cold and with a cached TensorRT-RTX engine, up to the point where ONNX Runtime would take it to the GPU.

The engine is built for SM89 on a machine that needs no GPU for it; taking it to the GPU and running it is not in these figures.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.errors import ConfigError
from agent.infer import engine_rtx
from agent.infer.bundle import Bundle, open_bundle
from agent.infer.engine_build import Task, build_engine
from agent.infer.engine_cache import EngineCache
from agent.infer.engine_key import EngineKey
from agent.infer.engine_options import engine_options, key_of
from agent.infer.gpu import FakeGpu, Gpu
from agent.infer.keys import public_key
from agent.infer.settings import InferenceSettings
from tests.bench.figures import Figure, significant

_DEMO = Path(__file__).resolve().parents[2] / "agent" / "demo"
_GPU = FakeGpu(Gpu(name="NVIDIA RTX 4000 Ada", capability="sm89", cuda="13.0", driver="580.95.05"))
_ROUNDS = 7


def measure() -> Iterator[Figure]:
    """Nothing where TensorRT-RTX is not installed."""
    try:
        version = engine_rtx.builder_version()
    except ConfigError as error:
        print(f"  left out: {error}")
        return
    bundle = open_bundle(
        (_DEMO / "tep-1.0.0.stethos").read_bytes(), [public_key((_DEMO / "tep.pub").read_bytes(), "tep.pub")]
    )
    what = f"TensorRT-RTX {version}, {bundle.manifest.model.parameters} parameters ({bundle.manifest.model.family}), for SM89, no GPU"
    with tempfile.TemporaryDirectory() as folder:
        settings = InferenceSettings(device="tensorrt-rtx", cache=Path(folder))
        alone_s = _median_s(lambda: engine_rtx.build(bundle.model, "sm89"))
        cold_s = _median_s(lambda: _cold(bundle, settings))
        cached_s = _median_s(lambda: _cached(bundle, settings))
    against = f"its builder alone in a process that has loaded it: {alone_s:.2g} s; {what}"
    yield Figure("start.engine_cold", significant(cold_s), "s", against)
    against = f"a cold one: {cold_s / cached_s:.0f} times as long; found, verified and wrapped for the plug-in; {what}"
    yield Figure("start.engine_cached", significant(cached_s * 1e3), "ms", against)


def _cold(bundle: Bundle, settings: InferenceSettings) -> None:
    """In a child process as on the box, then onto the disk."""
    assert settings.cache is not None
    cache, contract = EngineCache(settings.cache / "engines"), bundle.manifest.contract
    key = _key(bundle)
    with cache.begin() as folder:
        assert build_engine(
            Task(key, bundle.model, (len(contract.channels), contract.window)), folder, threading.Event()
        )
        cache.adopt(key, folder)


def _cached(bundle: Bundle, settings: InferenceSettings) -> None:
    found = engine_options(bundle, settings, _GPU, lambda _: engine_rtx.builder_version())
    assert found is not None


def _key(bundle: Bundle) -> EngineKey:
    return key_of(bundle, "tensorrt-rtx", _GPU, lambda _: engine_rtx.builder_version())


def _median_s(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)
