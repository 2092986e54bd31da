"""The windows on which forms of a model are compared: held-out, of the test runs, spoilt on purpose, and hostile ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.errors import ConfigError, Problem
from agent.types import Float32Array
from export import data, dataset, parity
from export.rundir import RunRecord, TrainedRun
from export.synthetic import inject
from export.training_run import training_windows
from export.windows import cut, stack

_MOST = 4_000  # windows of a set, evenly over it
_MOST_BYTES = 128 * 1024**2  # of a set
_SEED = 20


@dataclass(frozen=True, slots=True, eq=False)
class WindowsToTry:
    """Windows float32 [n, channels, time], n above zero, and in words what they are."""

    values: Float32Array
    what: str


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Sets of windows by name, and windows of training for int8 to take its ranges from; None where the data set is not at hand."""

    sets: Mapping[str, WindowsToTry]
    training: Float32Array | None = None


def of_samples(run: TrainedRun) -> Trial:
    """What the run's folder alone has: few windows."""
    return Trial({"golden": WindowsToTry(run.samples, "golden windows of the run"), "edge": _edge(run.samples)})


def gather(record: RunRecord) -> Trial:
    """From the data set that `record` was trained on. Raises ConfigError where that cannot be read or has changed since."""
    recordings = data.read(dataset.load(Path(record.dataset)))
    if recordings.sha256 != record.data_sha256:
        what = "the data has changed since this model was trained on it"
        raise ConfigError([Problem(record.dataset, what, "train again, or bring the old files back")])
    training, calibrating, _ = training_windows(recordings, record.contract, record.family)
    held_out = _evenly(stack(calibrating))
    tests = [cut(run, record.contract) for run in recordings.of("test")]
    sets = {"held-out": WindowsToTry(held_out, "normal windows that were not trained on")}
    if any(map(len, tests)):
        sets["test"] = WindowsToTry(_evenly(stack(tests)), "windows of the test runs, with their faults")
    spoilt = inject(held_out, _SEED).windows
    sets["spoilt"] = WindowsToTry(spoilt, f"held-out windows with synthetic anomalies, seed {_SEED}")
    sets["edge"] = _edge(held_out)
    return Trial(sets, _evenly(stack(training)))


def _edge(windows: Float32Array) -> WindowsToTry:
    return WindowsToTry(parity.edge_windows(windows), "all zero, at the mean, 1e30, 1e-30, alternating by 1000")


def _evenly(windows: Float32Array) -> Float32Array:
    """At most so many, over all of them."""
    most = max(1, min(_MOST, _MOST_BYTES // max(1, windows[:1].nbytes)))
    return windows[:: -(-len(windows) // most)] if len(windows) > most else windows
