"""Which form of score suits residuals, asked without labels: synthetic anomalies in held-out normal windows of four machines.

`python -m tests.bench.residual_forms` prints the ROC AUC of every form, mean over kinds of anomaly, networks and seeds, by machine.
Only rows of normal operation are read. The data are looked for in $STETHOS_DATA, or in ../shared/data beside the repository; the
Tennessee Eastman process comes with the package bibmon.
"""

from __future__ import annotations

import importlib.util
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from agent.types import NANOSECONDS, Float32Array
from agent.window.contract import Contract, ContractChannel
from export import train
from export.models.detector import whitening
from export.models.residual import ResidualDetector, ResidualScore
from export.synthetic import inject
from export.windows import Windows

DATA = Path(os.environ.get("STETHOS_DATA", Path(__file__).parents[3] / "shared" / "data"))
NETWORKS = ("conv-autoencoder", "mlp-forecast", "patch-transformer", "gru-forecast")
SEEDS = range(2)
_TRAINED, _EPOCHS = 0.7, 60

Judge = Callable[[Tensor], Tensor]  # residual [n, channels, time] to score [n]


def machines() -> Iterator[tuple[str, Float32Array, int]]:
    """Name, windows float32 [n, channels, time] in order of time, and cells between one window and the next."""
    table = np.genfromtxt(DATA / "skab/anomaly-free/anomaly-free.csv", delimiter=";", skip_header=1)[:, 1:]
    yield "skab", _cut(table, 60, 5), 5
    fan = np.load(DATA / "fan/fan.npz")
    speeds = [fan[f"fan_0_{speed}_0_weight"] for speed in ("low", "med", "high")]
    seconds = np.stack([speed[: min(map(len, speeds))] for speed in speeds], 1)
    yield "fan", seconds.reshape(-1, *seconds.shape[2:]).transpose(0, 2, 1).astype(np.float32), 200
    yield "tep", _cut(np.loadtxt(_tennessee_eastman()).T, 16, 1), 1
    daily = np.genfromtxt(DATA / "nab/data/artificialNoAnomaly/art_daily_small_noise.csv", delimiter=",", skip_header=1)
    yield "nab", _cut(daily[:, 1:], 48, 2), 2


def forms(usual: Tensor) -> dict[str, Judge]:
    """Every form, fitted on the residuals [n, channels, time] of normal windows."""
    chosen = ResidualScore(*usual.shape[1:])
    chosen.fit(usual)
    spread, shift = whitening(usual.transpose(1, 2).flatten(0, 1)).float(), whitening(usual.mean(2)).float()

    def distance(r: Tensor) -> Tensor:
        return torch.matmul(spread, r).square().mean(2)

    def both(r: Tensor) -> Tensor:
        return (distance(r) + torch.matmul(r.mean(2), shift).square()) / 2

    return {
        "squared residual": lambda r: r.square().mean((1, 2)),
        "Mahalanobis distance": lambda r: distance(r).mean(1),
        "Mahalanobis distance, loudest channel": lambda r: distance(r).amax(1),
        "distance and that of the mean, quadratic mean": lambda r: both(r).square().mean(1).sqrt(),
        "level, loudness, roughness, mean": lambda r: chosen(r)[1].mean(1),
        "level, loudness, roughness, quadratic mean": lambda r: chosen(r)[0],
        "level, loudness, roughness, loudest channel": lambda r: chosen(r)[1].amax(1),
    }


def main() -> None:
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for machine, windows, hop in machines():
        border = round(_TRAINED * len(windows))
        early, late = windows[: border - windows.shape[2] // hop], windows[border:]
        for network in NETWORKS:
            residual = _residual(network, early, hop)
            judges = forms(residual(early))
            for seed in SEEDS:
                spoilt = inject(late, seed)
                for form, judge in judges.items():
                    normal, strange = (judge(residual(part)).numpy() for part in (late, spoilt.windows))
                    kinds = [strange[spoilt.labels == label] for label in np.unique(spoilt.labels[spoilt.labels > 0])]
                    found[form][machine].append(float(np.mean([_auc(normal, kind) for kind in kinds])))
    print(f"{'':48}" + "".join(f"{machine:>8}" for machine in next(iter(found.values()))) + f"{'mean':>8}")
    for form, by_machine in found.items():
        means = [float(np.mean(values)) for values in by_machine.values()]
        print(f"{form:48}" + "".join(f"{value:8.3f}" for value in [*means, float(np.mean(means))]))


def _residual(network: str, windows: Float32Array, hop: int) -> Callable[[Float32Array], Tensor]:
    """Train `network` on `windows`, the latest of them for early stopping; what it leaves unexplained of any windows."""
    end_ns = (np.arange(len(windows)) * hop + windows.shape[2]) * NANOSECONDS
    channels = [ContractChannel(name=f"c{index}", unit="1") for index in range(windows.shape[1])]
    contract = Contract(channels=channels, rate_hz=1.0, window=windows.shape[2], hop=hop)
    run = Windows("normal", windows, end_ns, None, 0)
    model = train.fit([run], contract, train.Plan(network, 0, _EPOCHS), lambda *_: None).model
    assert isinstance(model, ResidualDetector)

    @torch.no_grad()
    def residual(given: Float32Array) -> Tensor:
        return torch.cat([model.residual(part) for part in torch.split(torch.from_numpy(given), 256)])

    return residual


def _auc(normal: Float32Array, strange: Float32Array) -> float:
    truth = np.repeat([0, 1], [len(normal), len(strange)])
    return float(roc_auc_score(truth, np.concatenate([normal, strange])))


def _cut(table: npt.NDArray[np.float64], window: int, hop: int) -> Float32Array:
    return np.array([table[at : at + window].T for at in range(0, len(table) - window + 1, hop)], np.float32)


def _tennessee_eastman() -> Path:
    """The normal run, 52 channels by 500 rows; the package itself is not imported, for it needs what we do not."""
    spec = importlib.util.find_spec("bibmon")
    assert spec is not None, "install bibmon"
    assert spec.origin is not None
    return next(Path(spec.origin).parent.rglob("d00.dat"))


if __name__ == "__main__":
    main()
