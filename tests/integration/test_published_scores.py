"""Our scorers on published detectors: NAB's windowed Gaussian and SKAB's T² and T²+Q, rebuilt here, give the published tables."""

from __future__ import annotations

import csv
import datetime as dt
import json
import os
from pathlib import Path

import numpy as np
import pytest
from scipy import special, stats

from export.judge import nab, skab

DATA = Path(os.environ.get("STETHOS_DATA", Path(__file__).parents[3] / "shared" / "data"))
SECOND = 1_000_000_000

NAB, SKAB = DATA / "nab", DATA / "skab"

needs_nab = pytest.mark.skipif(not NAB.is_dir(), reason=f"NAB is not at {NAB}: set $STETHOS_DATA to the data folder")
needs_skab = pytest.mark.skipif(
    not SKAB.is_dir(), reason=f"SKAB is not at {SKAB}: set $STETHOS_DATA to the data folder"
)

# results/windowedGaussian/*_scores.csv and README.md of numenta/NAB 1.1
WINDOWED_GAUSSIAN = {"standard": 39.65, "reward_low_FP_rate": 20.87, "reward_low_FN_rate": 47.41}
WINDOWED_GAUSSIAN_BY_SERIES = {
    "realTraffic/speed_7578.csv": 3.47059145681,
    "realAWSCloudwatch/grok_asg_anomaly.csv": 2.37942230674,
    "realAWSCloudwatch/ec2_disk_write_bytes_1ef3de.csv": -4.19089678552,
    "realTweets/Twitter_volume_AAPL.csv": 1.51399683626,
    "realKnownCause/nyc_taxi.csv": -5.0,
}


def seconds(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp())


def rows(path: Path, delimiter: str = ",") -> list[list[str]]:
    with path.open() as file:
        return list(csv.reader(file, delimiter=delimiter))[1:]


def windowed_gaussian(x: np.ndarray) -> np.ndarray:
    """NAB's detector: one minus the tail probability among the last 6,400 to 6,499 values; its files keep 12 digits."""
    x = x - x[0]
    sums, squares = (np.concatenate(([0.0], np.cumsum(part))) for part in (x, x * x))
    row = np.arange(len(x))
    begin = np.maximum(0, (row - 6_400) // 100 * 100)
    end = np.minimum(row, begin + 6_400)
    count = np.maximum(end - begin, 1)
    mean = (sums[end] - sums[begin]) / count
    std = np.sqrt(np.maximum((squares[end] - squares[begin]) / count - mean**2, 0))
    score = 1 - 0.5 * special.erfc(np.abs(x - mean) / np.where(std == 0, 1e-6, std) / np.sqrt(2))
    score[0] = 0.0
    return np.round(score, 12)


@pytest.fixture(scope="module")
def gaussian() -> dict[str, nab.ScoredSeries]:
    found = {}
    for name, windows in json.loads((NAB / "labels" / "combined_windows.json").read_text()).items():
        table = rows(NAB / "data" / name)
        t = np.array([seconds(row[0]) for row in table])
        limits = [(seconds(start), seconds(end)) for start, end in windows]
        score = windowed_gaussian(np.array([float(row[1]) for row in table]))
        found[name] = nab.ScoredSeries(score, nab.windows_as_rows(t, limits))
    return found


@needs_nab
@pytest.mark.parametrize("profile", nab.PROFILES)
def test_nabs_windowed_gaussian_has_its_published_score_at_its_published_threshold(
    gaussian: dict[str, nab.ScoredSeries], profile: str
) -> None:
    best = nab.best(list(gaussian.values()), profile)
    assert best.threshold == 1.0
    assert best.score == pytest.approx(WINDOWED_GAUSSIAN[profile], abs=0.005)


@needs_nab
@pytest.mark.parametrize("name", WINDOWED_GAUSSIAN_BY_SERIES)
def test_each_series_has_its_published_raw_score(gaussian: dict[str, nab.ScoredSeries], name: str) -> None:
    raw = (2 * nab.score([gaussian[name]], 1.0) / 100 - 1) * len(gaussian[name].windows)
    assert raw == pytest.approx(WINDOWED_GAUSSIAN_BY_SERIES[name], abs=1e-9)


@needs_nab
def test_nabs_null_detector_scores_0_and_chance_far_below_a_detector(gaussian: dict[str, nab.ScoredSeries]) -> None:
    rng = np.random.default_rng(42)
    chance = [nab.ScoredSeries(rng.random(len(one.scores)), one.windows) for one in gaussian.values()]
    silent = [nab.ScoredSeries(np.full(len(one.scores), 0.5), one.windows) for one in gaussian.values()]
    assert nab.score(silent, 0.6) == 0
    assert 0 < nab.best(chance).score < 20  # published: 11.0, with another generator's numbers


def t_squared(train: np.ndarray, test: np.ndarray, *, with_q: bool) -> np.ndarray:
    """SKAB's notebooks t2_SKAB and t2_with_q_SKAB: limits at 99.9 % as they compute them, median of 5 rows."""
    z, tested = ((part - train.mean(0)) / train.std(0) for part in (train, test))
    n, channels = z.shape
    basis, kept = np.eye(channels), channels
    if with_q:
        _, singular, components = np.linalg.svd(z - z.mean(0), full_matrices=False)
        kept = int(np.searchsorted(np.cumsum(singular**2) / (singular**2).sum(), 0.85, side="right")) + 1
        basis = components[:kept].T
    projected = tested @ basis
    t2 = np.einsum("ij,jk,ik->i", projected, np.linalg.inv(np.atleast_2d(np.cov((z @ basis).T))), projected)
    grid = np.linspace(0, 15, 10_000)
    limit = kept * (n - 1) * (n + 1) / (n * (n - kept)) * grid[stats.f.cdf(grid, kept, n - kept) < 0.999][-1]
    if not with_q:
        return median_of_5(t2) > 2 * limit
    q = np.einsum("ij,jk,ik->i", tested, np.eye(channels) - basis @ basis.T, tested)
    left = np.linalg.eig(np.cov(z.T))[0][kept:].sum()
    theta, h = (left, left**2, left**3), 1 - 2 * left * left**3 / (3 * left**4)
    normal = grid[stats.norm.cdf(grid) < 0.999][-1]
    q_limit = theta[0] * (
        1 + normal * h * np.sqrt(2 * theta[1]) / theta[0] + theta[1] * h * (h - 1) / theta[0] ** 2
    ) ** (1 / h)
    return (median_of_5(t2) > limit) | (median_of_5(q) > q_limit)


def median_of_5(values: np.ndarray) -> np.ndarray:
    return np.concatenate((np.full(4, -np.inf), np.median(np.lib.stride_tricks.sliding_window_view(values, 5), axis=1)))


# Outputs of notebooks-proper-eval/t2_with_q_SKAB and t2_SKAB in waico/SKAB (30 s windows), and the README's 60 s leaderboard.
@needs_skab
@pytest.mark.parametrize(
    ("with_q", "outliers", "after_30_s", "after_60_s"),
    [
        (True, (0.76, 26.62, 24.92), (13.57, -0.22, 19.55), 25.35),
        (False, (0.66, 19.21, 42.6), (11.98, 0.99, 16.65), None),
    ],
    ids=["T2+Q", "T2"],
)
def test_skabs_control_charts_have_their_published_scores(
    with_q: bool, outliers: tuple[float, ...], after_30_s: tuple[float, ...], after_60_s: float | None
) -> None:
    runs = []
    for path in sorted(SKAB.glob("[vo]*/*.csv")):
        table = rows(path, ";")
        t_ns = np.array([seconds(row[0]) for row in table]) * SECOND
        values = np.array([[float(cell) for cell in row[1:]] for row in table])
        flagged = t_squared(values[:400, :8], values[400:, :8], with_q=with_q)
        runs.append(skab.FlaggedRun(t_ns[400:], values[400:, 8] == 1, values[400:, 9] == 1, flagged))
    assert len(runs) == 34
    scores = skab.row_scores(runs)
    assert (scores.f1, scores.far, scores.mar) == pytest.approx(outliers, abs=0.0051)
    assert list(skab.changepoint_scores(runs, 30 * SECOND).values()) == pytest.approx(after_30_s, abs=0.0051)
    if after_60_s is not None:
        assert skab.changepoint_scores(runs)["standard"] == pytest.approx(after_60_s, abs=0.0051)
