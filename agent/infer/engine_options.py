"""The engine that fits a bundle on this box, and how ONNX Runtime is to take it; None where there is none yet."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard, get_args

from agent.errors import ConfigError, InferenceError
from agent.infer.bundle import Bundle
from agent.infer.engine_cache import EngineCache
from agent.infer.engine_context import engine_model
from agent.infer.engine_key import EngineKey, Way, misfit, parse_capability
from agent.infer.engine_ways import PROVIDER, provider_options, tensorrt_version
from agent.infer.gpu import Gpu, read_gpu
from agent.infer.settings import InferenceSettings

log = logging.getLogger(__name__)

ReadGpu = Callable[[], Gpu | None]
VersionOf = Callable[[Way], str]
ENGINE_FILE = "engine.rtx"


@dataclass(frozen=True, slots=True, eq=False)
class EngineOptions:
    """A session of `model` on `provider` with `options` runs the engine of `key`."""

    key: EngineKey
    provider: str
    options: Mapping[str, str]
    model: bytes


def is_way(device: str) -> TypeGuard[Way]:
    """Whether `[inference] device` asks for an engine."""
    return device in get_args(Way)


def cache_of(settings: InferenceSettings) -> EngineCache | None:
    """Where this box keeps its engines; None where nothing is kept."""
    return None if settings.cache is None else EngineCache(settings.cache / "engines")


def key_of(bundle: Bundle, way: Way, gpu_of: ReadGpu = read_gpu, version_of: VersionOf = tensorrt_version) -> EngineKey:
    """What an engine of this bundle depends on here. Raises InferenceError that says what this box lacks."""
    gpu = gpu_of()
    if gpu is None:
        raise InferenceError(
            "no NVIDIA GPU answers: check `nvidia-smi`, the driver, and that libcuda.so.1 is to be found"
        )
    try:
        version = version_of(way)
        if way == "tensorrt-rtx":
            parse_capability(gpu.capability)
    except (LookupError, ConfigError) as error:
        raise InferenceError(f"{gpu.name}: {error}") from error
    return EngineKey(
        way=way,
        model_sha256=hashlib.sha256(bundle.model).hexdigest(),
        tensorrt=version,
        cuda=gpu.cuda,
        driver=gpu.driver,
        capability=gpu.capability,
    )


def engine_options(
    bundle: Bundle, settings: InferenceSettings, gpu_of: ReadGpu = read_gpu, version_of: VersionOf = tensorrt_version
) -> EngineOptions | None:
    """The engine from the signed bundle where it fits this box, else the one that was built here; None where neither is to be had.

    Such an engine is still to be proven by its golden vectors; where it fails, `refuse` keeps it from being given again.
    """
    if not is_way(settings.device):
        return None
    try:
        key = key_of(bundle, settings.device, gpu_of, version_of)
    except InferenceError:
        return None
    cache = cache_of(settings)
    if cache is not None and cache.refusal(key) is not None:
        return None
    if (engine := shipped(bundle, key)) is not None:
        return _of_engine(bundle, key, engine)
    folder = None if cache is None else cache.find(key)
    return None if folder is None else of_folder(bundle, key, folder)


def shipped(bundle: Bundle, key: EngineKey) -> bytes | None:
    """The engine that the bundle's supplier built and signed, if it is for this very box."""
    facts = bundle.manifest.engines.get(key.capability)
    if facts is None or misfit(facts, key) is not None:
        return None
    return bundle.engines.get(key.capability)


def of_folder(bundle: Bundle, key: EngineKey, folder: Path) -> EngineOptions:
    """The engine whose files lie in `folder`."""
    if key.way == "tensorrt-rtx":
        return _of_engine(bundle, key, (folder / ENGINE_FILE).read_bytes())
    return EngineOptions(key, PROVIDER[key.way], provider_options(key, _window(bundle), folder), bundle.model)


def refuse(engine: EngineOptions, settings: InferenceSettings, why: str) -> None:
    """Have `engine_options` not give this engine again, at this start and the next; to be called where it fails to prove itself."""
    log.warning("the TensorRT engine %s is not used: %s", engine.key.name, why)
    cache = cache_of(settings)
    try:
        if cache is not None and _is_ours(cache.folder):
            cache.refuse(engine.key, why)
    except InferenceError as error:  # it is then refused anew at the next start
        log.warning("%s", error)


def _is_ours(folder: Path) -> bool:
    """Whether the agent's own user runs this: `sudo stethos doctor` must leave nothing that the agent cannot remove."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return existing.stat().st_uid == os.geteuid()


def _of_engine(bundle: Bundle, key: EngineKey, engine: bytes) -> EngineOptions:
    channels, time = _window(bundle)
    outputs: dict[str, list[int]] = {"score": [], "channel_score": [channels]}
    if kinds := len(bundle.manifest.model.kinds):
        outputs["class_probability"] = [kinds]
    model = engine_model(engine, PROVIDER[key.way], key.capability, {"window": [channels, time]}, outputs)
    return EngineOptions(key, PROVIDER[key.way], provider_options(key, (channels, time), None), model)


def _window(bundle: Bundle) -> tuple[int, int]:
    contract = bundle.manifest.contract
    return len(contract.channels), contract.window
