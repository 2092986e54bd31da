"""Builds a TensorRT-RTX engine from ONNX for a stated compute capability; no GPU is needed, nor asked for."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from typing import Any

from agent.errors import BundleError, ConfigError, Problem
from agent.infer.engine_key import MAX_BATCH, USUAL_BATCH

Progress = Callable[[float], None]  # the part that is done, 0 to 1, never less than before

_INPUT = "window"
_MOST_MESSAGES = 4
_NODE = re.compile(r"operation '([^']+)'")
# Where in NVIDIA's sources a message was made, before and behind what it says.
_PLACE = re.compile(r"^IBuilder::\w+: Error Code \d+: |\(\[[^\]]*\] ?| In \w+ at \S+:\d+\)?$")


def require_builder() -> None:
    """Raise ConfigError where TensorRT-RTX is not installed."""
    _tensorrt()


def builder_version() -> str:
    """The first three parts of the builder's version, on which the form of its engines depends; raises ConfigError."""
    return ".".join(str(_tensorrt().__version__).split(".")[:3])


def build(onnx: bytes, capability: str, *, max_batch: int = MAX_BATCH, progress: Progress = lambda _: None) -> bytes:
    """The engine for batches of 1 to `max_batch` windows on GPUs of `capability`, as in "sm89".

    The bytes of two builds differ in places, as the builder has no order for its own tables; what they compute does not. Raises BundleError
    for a graph that TensorRT-RTX cannot take, with the node and the reason, and ConfigError where it is not installed.
    """
    trt = _tensorrt()
    log = _collector(trt)
    builder = trt.Builder(log)
    network = builder.create_network(0)
    _parse(trt, network, log, onnx)
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(trt.ComputeCapability, capability.upper()), 0)
    config.progress_monitor = _monitor(trt, progress)
    config.add_optimization_profile(_profile(builder, network, max_batch))
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise BundleError(_refusal(capability, log.errors))
    progress(1.0)
    return bytes(engine)


def _tensorrt() -> Any:
    try:
        return importlib.import_module("tensorrt_rtx")
    except ImportError as error:
        what = f"TensorRT-RTX cannot be loaded: {error}"
        raise ConfigError([Problem("--tensorrt", what, "install stethos[tensorrt]")]) from error


def _parse(trt: Any, network: Any, log: Any, onnx: bytes) -> None:
    parser = trt.OnnxParser(network, log)
    if parser.parse(onnx):
        return
    found = [parser.get_error(index) for index in range(parser.num_errors)]
    told = [f"node {each.node_name() or '?'} ({each.node_operator() or '?'}): {each.desc()}" for each in found]
    reason = "; ".join(told[:_MOST_MESSAGES]) or "it is no ONNX graph"
    raise BundleError(f"TensorRT-RTX cannot take model.onnx: {reason}; leave the engine out, or train another family")


def _profile(builder: Any, network: Any, max_batch: int) -> Any:
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    if [each.name for each in inputs] != [_INPUT]:
        found = ", ".join(each.name for each in inputs) or "none"
        raise BundleError(f"model.onnx has the inputs {found}; a Stethos model has {_INPUT!r} alone, export it again")
    _, *shape = tuple(inputs[0].shape)
    profile = builder.create_optimization_profile()
    batches = (1, min(USUAL_BATCH, max_batch), max_batch)
    profile.set_shape(_INPUT, *((batch, *shape) for batch in batches))
    return profile


def _refusal(capability: str, errors: Sequence[str]) -> str:
    """The builder gives no error but in its log; the first is the cause, what follows are its callers."""
    cause = _PLACE.sub("", errors[0]).rstrip(". ") if errors else "it says no reason"
    node = f" at node {found[1]}" if (found := _NODE.search(cause)) else ""
    return f"TensorRT-RTX cannot build model.onnx for {capability.upper()}{node}: {cause}; leave this capability out"


def _collector(trt: Any) -> Any:
    """A logger that keeps the first errors; warnings and below are its builder's own affairs."""

    class Collector(trt.ILogger):  # type: ignore[misc]  # the bindings have no types
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            wanted = severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR)
            if wanted and len(self.errors) < _MOST_MESSAGES:
                self.errors.append(message)

    return Collector()


def _monitor(trt: Any, progress: Progress) -> Any:
    """Tells how far a build is: phases nest, and each has a number of steps of which its inner phases are a part."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # the bindings have no types
        def __init__(self) -> None:
            super().__init__()
            self._phases: dict[str, list[int]] = {}  # outermost first: name -> [steps done, steps]
            self._told = 0.0

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:  # noqa: ARG002 - given by position
            self._phases[phase] = [0, max(steps, 1)]

        def step_complete(self, phase: str, step: int) -> bool:
            if phase in self._phases:
                self._phases[phase][0] = step + 1
                self._tell()
            return True  # go on

        def phase_finish(self, phase: str) -> None:
            self._phases.pop(phase, None)

        def _tell(self) -> None:
            done, share = 0.0, 1.0
            for steps_done, steps in self._phases.values():
                done += share * min(steps_done, steps) / steps
                share /= steps
            if done > self._told:
                self._told = min(done, 0.99)
                progress(self._told)

    return Monitor()
