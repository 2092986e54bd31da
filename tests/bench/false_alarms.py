"""False alarms in a device-month of stationary noise against the budget of one, for five laws of noise."""

from __future__ import annotations

from collections.abc import Iterator

from scipy import stats

from tests.bench import noise
from tests.bench.figures import Figure, significant

_CHANNELS = 8
_MONTH_DAYS = 30
_MONTHS = 10
_FIRST_SEED = 1_000
# Measured on the same five laws at 1 Hz with the rolling k-means detector of a widely used agent, re-implemented: events a day and metric.
_PEER_A_MONTH = {"gaussian": 33.0, "laplace": 23.1, "student_t3": 33.0, "ar1": 23.1, "gamma": 18.0}


def measure() -> Iterator[Figure]:
    for kind in noise.KINDS:
        watcher = noise.watcher(kind, _CHANNELS)
        alarms = sum(_month(watcher, kind, _FIRST_SEED + month) for month in range(_MONTHS))
        low, high = _interval(alarms)
        against = (
            f"a budget of 1 a month; {alarms} in {_MONTHS} device-months of {_MONTH_DAYS} days and {_CHANNELS} channels at 1 Hz, "
            f"95 % interval {low:.2g} to {high:.2g}; the rolling k-means detector of a peer: {_PEER_A_MONTH[kind]:g} a metric"
        )
        yield Figure(f"false_alarms.{kind}", significant(alarms / _MONTHS), "a device-month", against, "<= 1")


def _month(watcher: noise.Watcher, kind: str, seed: int) -> int:
    samples = noise.draw(kind, _MONTH_DAYS, _CHANNELS, seed)
    return sum(raised for _, raised, _ in watcher.standing(samples))


def _interval(count: int) -> tuple[float, float]:
    """The exact 95 % interval of a Poisson rate a month (Garwood 1936)."""
    low = stats.chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    return low / _MONTHS, float(stats.chi2.ppf(0.975, 2 * count + 2)) / 2 / _MONTHS


if __name__ == "__main__":
    for figure in measure():
        print(f"{figure.name} = {figure.value:g} {figure.unit}, goal {figure.goal} ({figure.against})", flush=True)
