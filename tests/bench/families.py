"""Every family on every set with its default options, and what it costs: the table to choose from.

Nothing is tuned here. Networks train for 60 epochs at most, 20 on SKAB with its 34 files. SKAB: windows of 32 rows, fitted on the first 400 rows of
each file, mean ROC AUC a file over the rest. TEP: windows of 32 rows, fitted on d00, mean share of faulty rows found at 1 % of the windows of d00_te. Fan: the
first 350 healthy seconds of each speed train, ROC AUC a second, each window's own mean taken off because the sensor's tilt changed between recordings.
Hydraulic: cycles as 60 cells of 10 channels, split as in `models_hydraulic`, mean ROC AUC of valve and accumulator. NAB: windows of 64 rows, fitted on each series' probation, standard profile at the
threshold the labels like best, an alarm where a score tops its last 512 rows, networks for 10 epochs at most (58 fits each); fitted once and
never again, they stay far below methods that forget. A family that learns from labels is given those of the fan's and TEP's training parts and
judged on these sets alone.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from agent.demo.tennessee import CHANNELS, FAULTS, ONSET_ROW, faulty_run, normal_runs
from agent.errors import ConfigError, StethosError
from agent.types import Float32Array, Int64Array
from agent.window.contract import Contract, ContractChannel
from export import to_onnx, train
from export.judge import nab
from export.models import FAMILIES, registered
from export.models.detector import Detector
from export.report.cost import windows_per_s
from export.windows import Windows
from tests.bench import models_fan, models_hydraulic, models_nab, models_skab
from tests.bench.figures import Figure, significant
from tests.bench.models_data import needed

_EPOCHS, _SKAB_EPOCHS, _NAB_EPOCHS = 60, 20, 10
_SPEED_BATCH = 64
_SKAB_WINDOW = _TEP_WINDOW = 32
_NAB_WINDOW, _NAB_MEMORY = 64, 512
_FAN_TRAINING_S = models_fan.TRAINING_S
_CELLS = 60

Found = dict[str, float]


def measure() -> Iterator[Figure]:
    """Of families by sets, as many at once as there are cores."""
    jobs = [(family, name) for name in SETS for family in FAMILIES]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        futures = [(family, name, pool.submit(_one, family, name)) for family, name in jobs]
        for family, name, future in futures:
            for kind, value in future.result().items():
                unit = {"fit_s": "s", "windows_per_s": "windows/s", "parameters": "numbers", "graph_kb": "kB"}.get(
                    kind, ""
                )
                yield Figure(f"families.{family}.{kind}", significant(value, 4), unit)
            print(f"  {family} on {name}", file=sys.stderr, flush=True)


def _one(family: str, name: str) -> Found:
    """One family on one set; nothing where the family cannot be fitted to it."""
    torch.set_num_threads(1)
    if registered(family).supervised and name not in ("fan", "tep", "cost"):
        return {}
    try:
        return SETS[name](family)
    except (StethosError, RuntimeError, ValueError) as error:
        print(f"  {family} on {name}: {error}", file=sys.stderr, flush=True)
        return {}


def _fitted(
    family: str, windows: Float32Array, rate_hz: float, labels: Int64Array | None = None, epochs: int = _EPOCHS
) -> Detector:
    channels, cells = windows.shape[1:]
    names = [ContractChannel(name=f"c{row}", unit="1") for row in range(channels)]
    contract = Contract(channels=names, rate_hz=rate_hz, window=cells, hop=cells)
    # Each window by itself, as far as the split into training and validation goes: they are in the order of time.
    end_ns = (np.arange(len(windows), dtype=np.int64) + 1) * cells * contract.period_ns
    runs = [Windows("all", windows, end_ns, labels, 0)]
    kinds = 2 if labels is None else int(labels.max()) + 1
    return train.fit(runs, contract, train.Plan(family, 0, epochs, kinds=kinds), lambda *_: None).model


def _score(model: Detector, windows: Float32Array) -> Float32Array:
    return train.run_model(model, windows)[0]


def _slid(rows: Float32Array, cells: int) -> Float32Array:
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(rows, cells, axis=0))


def _skab(family: str) -> Found:
    found = []
    for run in models_skab.read(needed("skab")):
        windows = _slid(run.values[: models_skab.TRAINING_ROWS], _SKAB_WINDOW)
        model = _fitted(family, windows, 1.0, epochs=_SKAB_EPOCHS)
        score = _score(model, _slid(run.values, _SKAB_WINDOW))[models_skab.TRAINING_ROWS - _SKAB_WINDOW + 1 :]
        found.append(roc_auc_score(run.anomalous[models_skab.TRAINING_ROWS :], score))
    return {"skab": float(np.mean(found))}


def _tep(family: str) -> Found:
    normal, held_out = normal_runs()
    windows, labels = _slid(normal, _TEP_WINDOW), None
    if registered(family).supervised:
        faulty = [_slid(_tep_training(fault), _TEP_WINDOW) for fault in FAULTS]
        labels = np.repeat(np.arange(len(FAULTS) + 1), [len(windows), *map(len, faulty)]).astype(np.int64)
        windows, labels = _interleaved(np.concatenate([windows, *faulty]), labels)
    model = _fitted(family, windows, 1 / 180, labels)
    threshold = np.quantile(_score(model, _slid(held_out, _TEP_WINDOW)), 0.99)
    after = faulty_run(1).shape[0] - ONSET_ROW
    rates = [(_score(model, _slid(faulty_run(fault), _TEP_WINDOW))[-after:] > threshold).mean() for fault in FAULTS]
    return {"tep": float(np.mean(rates))}


def _tep_training(fault: int) -> Float32Array:
    """The 480 rows of a fault's training file, all of them after its onset."""
    spec = importlib.util.find_spec("bibmon")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / "tennessee_eastman"
    rows: Float32Array = np.loadtxt(folder / f"d{fault:02d}.dat", dtype=np.float32)
    return rows if rows.shape[1] == CHANNELS else rows.T


def _interleaved(windows: Float32Array, labels: Int64Array) -> tuple[Float32Array, Int64Array]:
    """Every kind in the order of its time, taken in turns, so that the latest part holds them all."""
    place = np.concatenate(
        [np.linspace(0, 1, int((labels == kind).sum()), endpoint=False) for kind in np.unique(labels)]
    )
    order = np.argsort(place, kind="stable")
    return np.ascontiguousarray(windows[order]), labels[order]


def _fan(family: str) -> Found:
    healthy, unbalanced = ([part - part.mean(2, keepdims=True) for part in kind] for kind in models_fan.read())
    windows, labels = np.concatenate([part[:_FAN_TRAINING_S] for part in healthy]), None
    if registered(family).supervised:
        faulty = np.concatenate([part[:_FAN_TRAINING_S] for part in unbalanced])
        labels = np.repeat([0, 1], [len(windows), len(faulty)]).astype(np.int64)
        windows, labels = _interleaved(np.concatenate([windows, faulty]), labels)
    model = _fitted(family, np.ascontiguousarray(windows), 200.0, labels)
    first = _FAN_TRAINING_S if registered(family).supervised else 0
    scores = [_score(model, part[_FAN_TRAINING_S:]) for part in healthy]
    strange = [_score(model, part[first:]) for part in unbalanced]
    labels = np.repeat([0, 1], [sum(map(len, scores)), sum(map(len, strange))])
    return {"fan": float(roc_auc_score(labels, np.concatenate([*scores, *strange])))}


def _hydraulic(family: str) -> Found:
    cycles, profile = _cycles()
    found = []
    for index, component in enumerate(models_hydraulic.HEALTHY):
        if component not in models_hydraulic.GOALS:
            continue
        healthy = profile[:, index] == models_hydraulic.HEALTHY[component]
        known, normal = models_hydraulic.halves(healthy, profile)
        score, faulty = _score(_fitted(family, cycles[known], 1.0), cycles), np.flatnonzero(~healthy)
        labels = np.repeat([0, 1], [len(normal), len(faulty)])
        found.append(roc_auc_score(labels, score[np.concatenate([normal, faulty])]))
    return {"hydraulic": float(np.mean(found))}


@functools.cache
def _cycles() -> tuple[Float32Array, Int64Array]:
    """Windows [cycles, sensors, 60], faster sensors averaged to 1 Hz, and the state of each component."""
    cycles, profile = models_hydraulic.read()
    return cycles.reshape(*cycles.shape[:2], _CELLS, -1).mean(3), profile


def _nab(family: str) -> Found:
    series = [_nab_series(family, values.astype(np.float32)[:, None], spans) for values, spans in models_nab.read()]
    return {"nab": nab.best(series).score}


def _nab_series(family: str, values: Float32Array, spans: list[tuple[int, int]]) -> nab.ScoredSeries:
    learned = max(nab.probation_rows(len(values)), 2 * _NAB_WINDOW)
    try:
        model = _fitted(family, _slid(values[:learned], _NAB_WINDOW), 1 / 300, epochs=_NAB_EPOCHS)
    except ConfigError:  # a series that never moves in its probation: nothing is said of it
        return nab.ScoredSeries(np.full(len(values), -np.inf), spans)
    score = _score(model, _slid(values, _NAB_WINDOW)).astype(np.float64)
    # One threshold serves all series, so each score is taken against what its own probation had.
    score = (score - np.median(score[:learned])) / max(np.ptp(score[:learned]), 1e-9)
    # A model that is never fitted again stays high after a change of level; only its records are alarms.
    padded = np.concatenate([np.full(_NAB_MEMORY, -np.inf), score])
    before = np.lib.stride_tricks.sliding_window_view(padded, _NAB_MEMORY)[:-1].max(1)
    records = np.where(score > before, score, -np.inf)
    return nab.ScoredSeries(np.concatenate([np.full(_NAB_WINDOW - 1, -np.inf), records]), spans)


def _cost(family: str) -> Found:
    """On 2,000 windows of 8 channels x 64 cells: what fitting takes, and running on one core."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=(2_000, 1, 64)).cumsum(axis=2) / 8
    windows = (common + rng.normal(size=(2_000, 8, 64))).astype(np.float32)
    labels = None
    if registered(family).supervised:
        windows[1::2, 0] *= 3
        labels = (np.arange(2_000) % 2).astype(np.int64)
    _fitted(family, windows[:200], 16.0, None if labels is None else labels[:200], 1)  # imports are no part of fitting
    started = time.process_time()
    model = _fitted(family, windows, 16.0, labels)
    fit_s = time.process_time() - started
    graph = to_onnx.convert(model, 8, 64)
    return {
        "parameters": float(graph.parameters),
        "fit_s": fit_s,
        "windows_per_s": windows_per_s(graph.data, windows[:_SPEED_BATCH], _SPEED_BATCH),
        "graph_kb": len(graph.data) / 1e3,
    }


SETS: Mapping[str, Callable[[str], Found]] = {
    "cost": _cost,
    "fan": _fan,
    "tep": _tep,
    "hydraulic": _hydraulic,
    "skab": _skab,
    "nab": _nab,
}


if __name__ == "__main__":
    for figure in measure():
        print(f"{figure.name} = {figure.value:g} {figure.unit}", flush=True)
