"""NAB: the family `range-record` on all 58 series in one configuration, at the threshold the labels like best and at one set without any.

Protocol: NAB 1.1's score (`export.judge.nab`), its probation spared. A window of 1,536 rows ends at each row; before a series has so many, its first value
stands for what is not there, so nothing looks ahead. Of training, the first 15 % of a series, only the deviation counts. A detection is a row that is stranger
than each of the 100 before it: an alarm that stands for so long says the same fault once. The family's options, the window and those 100 rows were chosen
on every second series in the order of their paths; the others were held out.

The label-free threshold is what would give one false alarm a window's length if readings were independent and their tails exponential. Then the range of N
readings is 2 ln N tail lengths wide, and one passes it by the share e with probability N^-(1 + 2 e); two sides and two evidences make four chances,
and 4 N^-(1 + 2 e) = 1 / N gives a place of 1 + 2 e = 1 + ln 4 / ln N.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from agent.types import Float32Array, Int64Array
from export.judge import nab
from export.models import registered
from export.models.family import Shape, Value
from export.rows import Float64Array
from export.train import run_model
from tests.bench.figures import Figure
from tests.bench.models_data import needed

WINDOW = 1_536
OPTIONS: dict[str, Value] = {"newest": 1 / 64, "history": "window"}
STANDS_ROWS = 100
LABEL_FREE = 1 + math.log(4) / math.log(WINDOW)
PROFILES = {"standard": "standard", "low_fp": "reward_low_FP_rate", "low_fn": "reward_low_FN_rate"}
PUBLISHED = {
    "standard": "HTM 70.5, KNN-CAD 58.0, random cut forest 51.7, windowed Gaussian 39.6",
    "low_fp": "HTM 62.6, KNN-CAD 43.4, random cut forest 38.4, windowed Gaussian 20.9",
    "low_fn": "HTM 75.2, KNN-CAD 64.8, random cut forest 59.7, windowed Gaussian 47.4",
}


def measure() -> Iterator[Figure]:
    every = [nab.ScoredSeries(_scores(values).astype(np.float64), windows) for values, windows in read()]
    series = [nab.ScoredSeries(_detections(one.scores), one.windows) for one in every]
    for name, profile in PROFILES.items():
        best, chosen = nab.best(series, profile), nab.best(series[::2], profile).threshold
        halves = [nab.score(part, chosen, profile) for part in (series[::2], series[1::2], series)]
        against = (
            "threshold by the labels of all series; by those of every second one: "
            f"{halves[0]:.1f} on them, {halves[1]:.1f} on the others, {halves[2]:.1f} on all; "
            f"every row a detection of its own {nab.best(every, profile).score:.1f}; published: {PUBLISHED[name]}"
        )
        goal = ">= 60" if name == "standard" else None
        yield Figure(f"models.nab.{name}", round(best.score, 1), "NAB score", against, goal)
        free = round(nab.score(series, LABEL_FREE, profile), 1)
        found = f"threshold {LABEL_FREE:.3f} from the length of the window; the labels' best is {best.threshold:.3f}"
        yield Figure(f"models.nab.{name}_label_free", free, "NAB score", found)


def read() -> Iterator[tuple[Float64Array, list[tuple[int, int]]]]:
    """Values and labelled windows, as rows, of each series in the order of their paths."""
    folder = needed("nab")
    labels = json.loads((folder / "labels" / "combined_windows.json").read_text())
    for name, windows in sorted(labels.items()):
        t, values = _series(folder / "data" / name)
        limits = [(_seconds(first), _seconds(last)) for first, last in windows]
        yield values, nab.windows_as_rows(t, limits)


def _series(path: Path) -> tuple[Int64Array, Float64Array]:
    with path.open() as file:
        rows = list(csv.reader(file))[1:]
    return np.array([_seconds(t) for t, _ in rows], np.int64), np.array([float(value) for _, value in rows])


def _seconds(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp())


def _scores(values: Float64Array) -> Float32Array:
    """The score at each row, from a model fitted on the probation."""
    padded = np.concatenate([np.full(WINDOW - 1, values[0]), values]).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[:, None]
    known = torch.from_numpy(windows[: nab.probation_rows(len(values))].copy())
    model = registered("range-record").new(Shape(1, WINDOW, 1 / 300), OPTIONS).eval()
    model.fit_input(known[:, :, -1:])
    model.fit_score(known, torch.zeros(len(known), dtype=torch.int64))
    return np.concatenate([run_model(model, windows[at : at + 256].copy())[0] for at in range(0, len(windows), 256)])


def _detections(scores: Float64Array) -> Float64Array:
    """The scores that are higher than each of the rows before for which an alarm stands, -inf elsewhere."""
    padded = np.concatenate([np.full(STANDS_ROWS, -np.inf), scores])
    before = np.lib.stride_tricks.sliding_window_view(padded, STANDS_ROWS)[:-1].max(1)
    return np.where(scores > before, scores, -np.inf)
