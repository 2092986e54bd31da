"""The seam between the pipeline and a model, and the fake that stands in for ONNX Runtime in tests."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from agent.errors import InferenceError
from agent.types import Float32Array


class Scorer(Protocol):
    """Scores windows of one bundle; one thread scores, another may enforce the deadline."""

    def score(self, windows: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Score float32 [n] and channel_score float32 [n, channels] of `windows` float32 [n, channels, time].

        A row for which the model gave any non-finite number is NaN throughout: its verdict is unknown. Raises
        InferenceError for windows that are non-finite or of another shape or type, and for a run that failed or overran.
        """
        ...

    def enforce_deadline(self, now_ns: int) -> bool:
        """Stop the current run if it is overdue at monotonic `now_ns`; True if there was one to stop."""
        ...


def check_shape(windows: Float32Array, channels: int, time: int) -> None:
    """Raise InferenceError unless `windows` is float32 [n, channels, time]."""
    if windows.dtype != np.float32 or windows.ndim != 3 or windows.shape[1:] != (channels, time):
        raise InferenceError(f"windows must be float32 [n, {channels}, {time}], are {windows.dtype} {windows.shape}")


def check_finite(windows: Float32Array) -> None:
    """Raise InferenceError for a value that is not finite: some kernels (GRU for one) turn NaN into an ordinary score."""
    if not np.isfinite(windows).all():
        raise InferenceError("a window with a non-finite value reached the model; it must be unknown instead")


def blank_non_finite(score: Float32Array, channel_score: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Make every row NaN throughout where any of its numbers is not finite."""
    if np.isfinite(channel_score).all() and np.isfinite(score).all():
        return score, channel_score
    bad = ~(np.isfinite(score) & np.isfinite(channel_score).all(axis=1))
    return np.where(bad, np.float32(np.nan), score), np.where(bad[:, None], np.float32(np.nan), channel_score)


class FakeScorer:
    """Channel score: the mean square of a channel; score: the largest of them. Overruns when told to."""

    def __init__(self, channels: int, time: int) -> None:
        self._shape = channels, time
        self.overrun = False

    def score(self, windows: Float32Array) -> tuple[Float32Array, Float32Array]:
        check_shape(windows, *self._shape)
        check_finite(windows)
        if self.overrun:
            raise InferenceError("the model overran its deadline and was stopped")
        with np.errstate(over="ignore"):
            channel_score = np.square(windows).mean(axis=2, dtype=np.float32)
        return blank_non_finite(channel_score.max(axis=1), channel_score)

    def enforce_deadline(self, now_ns: int) -> bool:  # noqa: ARG002 - a fake has no clock; the protocol has
        return self.overrun
