"""The hydraulic rig: the family `cycle-neighbours`, trained on cycles in which a component is healthy, judged by its faulty ones.

Protocol: a window is one cycle of 60 s, ten sensors of 1 and 10 Hz on one grid of 10 Hz, the slow ones held. For each component the cycles in which it is
healthy, whatever state the others are in, are split by time: of each stretch of cycles under one condition the first half trains, the second half is the normal half of
the test; all cycles in which it is at fault are the other. The AUC needs no threshold. Pieces, moments and intervals were chosen on every second
test cycle; the others were held out. Beside it: every second healthy cycle to train on; the first half of all healthy cycles, which lacks states of the cooler that the
second half is in, for a model knows only what it was shown; and `mahalanobis`. For `any` only the 21 cycles in
which all is healthy train, in seven folds of three successive ones, each fold's other cycles against all with any fault.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from agent.types import Float32Array, Int64Array
from export.models import registered
from export.models.family import Shape
from export.rows import BoolArray
from export.train import run_model
from tests.bench.figures import Figure
from tests.bench.models_data import needed

SENSORS = ("CE", "CP", "FS1", "FS2", "SE", "TS1", "TS2", "TS3", "TS4", "VS1")
HEALTHY = {"cooler": 100, "valve": 100, "pump": 0, "accumulator": 130}  # the first four columns of profile.txt
GOALS = {"valve": ">= 0.97", "accumulator": ">= 0.93"}
_CELLS, _RATE_HZ = 600, 10.0
_FOLD = 3
_SEED = 0

Split = tuple[Int64Array, Int64Array]  # cycles to train on and healthy ones to test


def measure() -> Iterator[Figure]:
    cycles, profile = read()
    healthy = profile == np.array(list(HEALTHY.values()))
    for index, component in enumerate(HEALTHY):
        ok, faulty = healthy[:, index], np.flatnonzero(~healthy[:, index])
        split = halves(ok, profile)
        auc, chosen_on, held_out = _aucs("cycle-neighbours", cycles, split, faulty)
        known = np.flatnonzero(ok)
        others = (known[::2], known[1::2]), (known[: len(known) // 2], known[len(known) // 2 :])
        mixed, unseen = (_aucs("cycle-neighbours", cycles, other, faulty)[0] for other in others)
        rival = _aucs("mahalanobis", cycles, split, faulty)[0]
        against = (
            f"options chosen on every second test cycle ({chosen_on:.3f}), the others held out ({held_out:.3f}); "
            f"trained on every second healthy cycle {mixed:.3f}, on the first half, without states of the second {unseen:.3f}; mahalanobis {rival:.3f}"
        )
        yield Figure(f"models.hydraulic.{component}", round(auc, 3), "ROC AUC a cycle", against, GOALS.get(component))
    yield _any(cycles, healthy.all(1))


def _any(cycles: Float32Array, healthy: BoolArray) -> Figure:
    known, faulty = np.flatnonzero(healthy), np.flatnonzero(~healthy)
    folds = [known[at : at + _FOLD] for at in range(0, len(known), _FOLD)]
    found = [_aucs("cycle-neighbours", cycles, (np.setdiff1d(known, fold), fold), faulty)[0] for fold in folds]
    against = f"mean of {len(folds)} folds of the {len(known)} cycles in which all is healthy, lowest {min(found):.3f}"
    return Figure("models.hydraulic.any", round(float(np.mean(found)), 3), "ROC AUC a cycle", against)


def read() -> tuple[Float32Array, Int64Array]:
    """Cycles [n, sensors, time] on the fast sensors' grid, and the state of each component [n, components]."""
    folder = needed("hydraulic")
    tables = [np.loadtxt(folder / f"{sensor}.txt.gz", dtype=np.float32) for sensor in SENSORS]
    cycles = np.stack([np.repeat(table, _CELLS // table.shape[1], 1) for table in tables], 1)
    return cycles, np.loadtxt(folder / "profile.txt", dtype=np.int64)[:, : len(HEALTHY)]


def halves(healthy: BoolArray, profile: Int64Array) -> Split:
    """Of each stretch under one condition the earlier healthy cycles to train on, and the later ones."""
    changes = np.flatnonzero((np.diff(profile, axis=0) != 0).any(1)) + 1
    stretches = [part[healthy[part]] for part in np.split(np.arange(len(profile)), changes)]
    middles = [(len(part) + 1) // 2 for part in stretches]
    early = [part[:middle] for part, middle in zip(stretches, middles, strict=True)]
    late = [part[middle:] for part, middle in zip(stretches, middles, strict=True)]
    return np.concatenate(early), np.concatenate(late)


def _aucs(family: str, cycles: Float32Array, split: Split, faulty: Int64Array) -> tuple[float, float, float]:
    """ROC AUC of all test cycles, of every second one, and of the others."""
    train, normal = split
    torch.manual_seed(_SEED)
    model = registered(family).new(Shape(len(SENSORS), _CELLS, _RATE_HZ))
    windows = torch.from_numpy(cycles[train])
    model.fit_input(windows)
    model.fit_score(windows, torch.zeros(len(windows), dtype=torch.int64))
    model.eval()
    good, bad = (run_model(model, cycles[part])[0] for part in (normal, faulty))
    return _auc(good, bad), _auc(good[::2], bad[::2]), _auc(good[1::2], bad[1::2])


def _auc(normal: Float32Array, strange: Float32Array) -> float:
    labels = np.repeat([0, 1], [len(normal), len(strange)])
    return float(roc_auc_score(labels, np.concatenate([normal, strange])))
