"""What a model costs: parameters, operations a window, windows a second in ONNX Runtime on one core, and bytes to ship."""

from __future__ import annotations

import io
import statistics
import time
import warnings
import zipfile

import msgspec
import numpy as np
import onnxruntime as ort
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from torch.utils.flop_counter import FlopCounterMode

from agent.types import Float32Array
from export import bundle
from export.models.detector import Detector
from export.release import Release
from export.rundir import TrainedRun

_BATCH = 64
_ROUNDS = 5
_ROUND_S = 0.1


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """`flops_per_window` counts matrix products and convolutions, two a multiply-add; element-wise work and distances come on top.

    Speeds are medians on one core of this machine: `windows_per_s` one window at a time, as a box with one machine runs it,
    `windows_per_s_batched` 64 at once. `bundle_bytes` is the whole signed file with its golden windows.
    """

    parameters: int
    flops_per_window: int
    windows_per_s: float
    windows_per_s_batched: float
    onnx_bytes: int
    bundle_bytes: int


def measure(run: TrainedRun) -> Cost:
    """Export `run` and try it; the bundle is signed with a key that is thrown away."""
    exported = bundle.export(run, [Ed25519PrivateKey.generate()], Release("0.0.0", 1))
    with zipfile.ZipFile(io.BytesIO(exported.data)) as entries:
        graph = entries.read("model.onnx")
    return Cost(
        parameters=exported.manifest.model.parameters,
        flops_per_window=flops(run.model, run.samples),
        windows_per_s=windows_per_s(graph, run.samples, 1),
        windows_per_s_batched=windows_per_s(graph, run.samples, _BATCH),
        onnx_bytes=len(graph),
        bundle_bytes=len(exported.data),
    )


def flops(model: Detector, samples: Float32Array) -> int:
    """Operations of one window in matrix products and convolutions; recurrent layers are taken apart to be counted."""
    window = torch.from_numpy(samples[:1])
    counter = FlopCounterMode(display=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TF32 on GPUs that this build cannot use
        with torch.inference_mode(), torch.backends.mkldnn.flags(enabled=False), counter:
            model(window)
    return int(counter.get_total_flops())


def windows_per_s(onnx_model: bytes, samples: Float32Array, batch: int) -> float:
    """The median speed of some rounds with one thread, after one round to warm up."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(onnx_model, options, providers=["CPUExecutionProvider"])
    windows = np.resize(samples, (batch, *samples.shape[1:]))
    speeds = [_round(session, windows) for _ in range(_ROUNDS + 1)]
    return statistics.median(speeds[1:])


def _round(session: ort.InferenceSession, windows: Float32Array) -> float:
    begin, done = time.perf_counter(), 0
    while True:
        session.run(None, {"window": windows})
        done += len(windows)
        taken = time.perf_counter() - begin
        if taken >= _ROUND_S:
            return done / taken
