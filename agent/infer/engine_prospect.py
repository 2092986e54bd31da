"""What a person is told of a bundle's engine on this box before, or while, the agent runs."""

from __future__ import annotations

from typing import NamedTuple

from agent.errors import InferenceError
from agent.infer.bundle import Bundle
from agent.infer.engine_options import ReadGpu, VersionOf, cache_of, engine_options, is_way, key_of
from agent.infer.engine_ways import builder_missing, tensorrt_version
from agent.infer.gpu import read_gpu
from agent.infer.settings import InferenceSettings


class Prospect(NamedTuple):
    """`remedy` is empty where it is well."""

    what: str
    remedy: str = ""


def prospect(
    bundle: Bundle, settings: InferenceSettings, gpu_of: ReadGpu = read_gpu, version_of: VersionOf = tensorrt_version
) -> Prospect | None:
    """Whether the engine is there, will be built, or cannot be had; None where `[inference] device` asks for none."""
    if not is_way(settings.device):
        return None
    try:
        key = key_of(bundle, settings.device, gpu_of, version_of)
    except InferenceError as error:
        return Prospect(f"it gets no TensorRT engine: {error}", "mend that, or choose another [inference] device")
    engine, cache = f"its TensorRT engine for {key.capability}", cache_of(settings)
    if cache is not None and (why := cache.refusal(key)) is not None:
        return Prospect(f"{engine} was refused: {why}", f"remove {cache.folder / key.name} to have it tried again")
    if engine_options(bundle, settings, gpu_of, version_of) is not None:
        return Prospect(f"{engine} is ready")
    if (missing := builder_missing(settings.device, key.tensorrt)) is not None:
        return Prospect(f"{engine} cannot be built: {missing}", "install it, or choose another [inference] device")
    return Prospect(f"{engine} is not built yet: `stethos run` does that while something else serves")
