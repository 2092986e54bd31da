"""TensorRT-RTX engines of a model for stated GPUs, built ahead of time on a machine that has none."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

from agent.infer import engine_rtx
from agent.infer.engine_key import MAX_BATCH, EngineFacts, parse_capability

Progress = Callable[[str, float], None]  # the compute capability, as in "sm89", and the part of its engine that is done


def engines(
    onnx: bytes, capabilities: Sequence[str], *, max_batch: int = MAX_BATCH, progress: Progress = lambda *_: None
) -> dict[str, bytes]:
    """An engine for each of `capabilities` ("SM86", "sm89", "120"), by its name as in "sm86", in the order asked for.

    Raises ConfigError for a capability that TensorRT-RTX does not build for and where it is not installed, and BundleError for a graph
    that it cannot take, with the node and the reason; both before the first engine is built where they can be known then.
    """
    wanted = list(dict.fromkeys(parse_capability(text) for text in capabilities))
    if wanted:
        engine_rtx.require_builder()
    return {name: engine_rtx.build(onnx, name, max_batch=max_batch, progress=_of(name, progress)) for name in wanted}


def facts(onnx: bytes, built: Mapping[str, bytes], *, max_batch: int = MAX_BATCH) -> dict[str, EngineFacts]:
    """What the manifest says of the engines that `engines` built of `onnx` just now."""
    digest = hashlib.sha256(onnx).hexdigest()
    return {
        name: EngineFacts(
            tensorrt_rtx=engine_rtx.builder_version(), capability=name, model_sha256=digest, max_batch=max_batch
        )
        for name in built
    }


def _of(name: str, progress: Progress) -> Callable[[float], None]:
    return lambda part: progress(name, part)
