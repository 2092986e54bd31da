"""Memory set aside once for each batch size and bound to a session, so that a run allocates nothing and copies once."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import onnxruntime as ort

from agent.infer.providers import CPU, CUDA, TENSORRT
from agent.infer.scorer import check_finite
from agent.types import Float32Array

_ON_CUDA = (CUDA, TENSORRT)
_GRAPH = "gpu_graph_id"
NO_GRAPH = "-1"
_ONLY_QUEUE = "disable_synchronize_execution_providers"


class Binding(Protocol):
    """The buffers of one batch size."""

    def run(self, windows: Float32Array, options: ort.RunOptions) -> tuple[Float32Array, Float32Array]:
        """Score [size] and channel_score [size, channels] of `windows` [size, channels, time], good until the next run.

        Raises InferenceError for windows that are not finite.
        """
        ...


def bind(session: ort.InferenceSession, size: int, channels: int, time: int) -> Binding:
    """The kind of binding that suits the provider in use."""
    provider = session.get_providers()[0]
    kind = DeviceBinding if provider in _ON_CUDA else HostBinding
    return kind(session, size, channels, time)


def run_options(graph: int | None, *, only_queue: bool = False) -> ort.RunOptions:
    """Options of one run; `graph` is the batch size whose captured CUDA graph it is, None where none is captured.

    The graph is always named: ONNX Runtime's Python looks for it in each run, and to find none costs it 20 microseconds.
    `only_queue`: the run returns once the GPU knows what to do. `synchronize_outputs` waits for it only where the GPU computes
    every output itself.
    """
    options = ort.RunOptions()
    options.add_run_config_entry(_GRAPH, NO_GRAPH if graph is None else str(graph))
    if only_queue:
        options.add_run_config_entry(_ONLY_QUEUE, "1")
    return options


class HostBinding:
    """In the host's memory: the CPU works in it directly; other providers copy what is bound at the moment it is bound."""

    def __init__(self, session: ort.InferenceSession, size: int, channels: int, time: int) -> None:
        self._session = session
        self._copies = session.get_providers()[0] != CPU
        self._window = np.zeros((size, channels, time), np.float32)
        self._score = np.empty(size, np.float32)
        self._channel_score = np.empty((size, channels), np.float32)
        self._bound = session.io_binding()
        self._bound.bind_cpu_input("window", self._window)
        for name, array in (("score", self._score), ("channel_score", self._channel_score)):
            self._bound.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)

    def run(self, windows: Float32Array, options: ort.RunOptions) -> tuple[Float32Array, Float32Array]:
        """See `Binding.run`."""
        check_finite(windows)
        np.copyto(self._window, windows)
        if self._copies:
            self._bound.bind_cpu_input("window", self._window)
        self._session.run_with_iobinding(self._bound, options)
        return self._score, self._channel_score


class DeviceBinding:
    """In the GPU's memory at fixed addresses, which a captured CUDA graph reads and writes again and again."""

    def __init__(
        self, session: ort.InferenceSession, size: int, channels: int, time: int, device: str = "cuda"
    ) -> None:
        self._session = session
        shapes = {"window": (size, channels, time), "score": (size,), "channel_score": (size, channels)}
        on_device = {
            name: ort.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, device, 0)
            for name, shape in shapes.items()
        }
        self._window = on_device["window"]
        self._outputs = on_device["score"], on_device["channel_score"]
        self._bound = session.io_binding()
        self._bound.bind_ortvalue_input("window", self._window)
        for name in ("score", "channel_score"):
            self._bound.bind_ortvalue_output(name, on_device[name])

    def run(self, windows: Float32Array, options: ort.RunOptions) -> tuple[Float32Array, Float32Array]:
        """See `Binding.run`; what is queued runs while the windows are looked through, a fifth of its time in large batches."""
        self._window.update_inplace(np.ascontiguousarray(windows))
        self._session.run_with_iobinding(self._bound, options)
        try:
            check_finite(windows)
        finally:
            self._bound.synchronize_outputs()
        score, channel_score = self._outputs
        return score.numpy(), channel_score.numpy()
