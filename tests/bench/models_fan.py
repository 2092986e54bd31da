"""A ceiling fan at three speeds, one model for all: the family `mixture`, judged a second at a time.

Protocol: the first 350 healthy seconds of each speed train, the others and the unbalanced ones test, the speed unknown to the model. Levels are left out of the
features: between the recordings the accelerometer's tilt changed, and window means alone tell them apart, whatever the fan does. Features and
the number of states were chosen on the first half of each test recording; the second half was held out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from agent.types import Float32Array
from export.models import registered
from export.models.family import Shape, Value
from export.train import run_model
from tests.bench.figures import Figure
from tests.bench.models_data import needed

SPEEDS = ("low", "med", "high")
TRAINING_S = 350
OPTIONS: dict[str, Value] = {"states": 6, "features": "spread+roughness"}
_RATE_HZ = 200.0


def measure() -> Iterator[Figure]:
    healthy, unbalanced = read()
    train = np.concatenate([part[:TRAINING_S] for part in healthy])
    normal = [part[TRAINING_S:] for part in healthy]
    scored = {name: _score(name, options, train, [*normal, *unbalanced]) for name, options in _rivals().items()}
    ours = scored["mixture"]
    speeds = ", ".join(f"{speed} {_auc([a], [b]):.3f}" for speed, a, b in zip(SPEEDS, ours[:3], ours[3:], strict=True))
    first, second = (_auc([_half(a, h) for a in ours[:3]], [_half(a, h) for a in ours[3:]]) for h in (0, 1))
    rivals = ", ".join(
        f"{name} {_auc(parts[:3], parts[3:]):.3f}" for name, parts in scored.items() if name != "mixture"
    )
    against = f"{speeds}; chosen on the first half ({first:.4f}), second half held out ({second:.4f}); the same features, or the window means alone: {rivals}"
    yield Figure("models.fan.auc", round(_auc(ours[:3], ours[3:]), 4), "ROC AUC a second", against, ">= 0.97")


def _rivals() -> dict[str, dict[str, Value]]:
    return {"mixture": OPTIONS, "one Gaussian": {**OPTIONS, "states": 1}, "tilt": {}}


def read() -> tuple[list[Float32Array], list[Float32Array]]:
    """Healthy and unbalanced seconds of each speed, [n, channels, time]."""
    with np.load(needed("fan") / "fan.npz") as file:
        kinds = [[file[f"fan_0_{speed}_{kind}_weight"] for speed in SPEEDS] for kind in (0, 1)]
    healthy, unbalanced = ([np.ascontiguousarray(part.transpose(0, 2, 1)) for part in kind] for kind in kinds)
    return healthy, unbalanced


def _score(
    name: str, options: dict[str, Value], train: Float32Array, test: Sequence[Float32Array]
) -> list[Float32Array]:
    """Scores of each part of `test`; `tilt` is the distance of the window's mean from that of training."""
    if name == "tilt":
        centre = train.mean((0, 2))
        return [np.linalg.norm(part.mean(2) - centre, axis=1) for part in test]
    model = registered("mixture").new(Shape(train.shape[1], train.shape[2], _RATE_HZ), options)
    windows = torch.from_numpy(train)
    model.fit_input(windows)
    model.fit_score(windows, torch.zeros(len(windows), dtype=torch.int64))
    return [run_model(model.eval(), part)[0] for part in test]


def _half(score: Float32Array, half: int) -> Float32Array:
    middle = len(score) // 2
    return score[middle:] if half else score[:middle]


def _auc(normal: Sequence[Float32Array], strange: Sequence[Float32Array]) -> float:
    labels = np.repeat([0, 1], [sum(map(len, normal)), sum(map(len, strange))])
    return float(roc_auc_score(labels, np.concatenate([*normal, *strange])))
