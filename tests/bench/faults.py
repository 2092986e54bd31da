"""Nine one-hour faults on a slow noisy channel: how many of ten are found, how soon, and for how much of the fault an alarm stands."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator

import numpy as np

from agent.types import Float32Array
from tests.bench import clairvoyant, noise
from tests.bench.figures import Figure, significant

_SEEDS = 10
_FIRST_SEED = 500
_HOUR = 3_600
_DRIFT = 20  # standard deviations, in the hour
_T = np.arange(_HOUR)
# An alarm this long after a fault that is over with one sample is still its alarm.
_LATE_S = 60


def _step(x: np.ndarray) -> np.ndarray:
    return x + 10


# name: what becomes of an hour of the channel, and the goal for the share of it during which an alarm stands
FAULTS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str | None]] = {
    "spike": (lambda x: x + 10 * (_T == 0), None),
    "step": (_step, "> 0.9"),
    "ramp": (lambda x: x + 10 * np.minimum(_T / 300, 1), "> 0.9"),
    "drift": (lambda x: x + _DRIFT * _T / _HOUR, "> 0.9"),
    "stuck": (lambda x: np.full(_HOUR, x[0]), "> 0.9"),
    "variance_x2": (lambda x: x * np.sqrt(2), "> 0.9"),
    "variance_x5": (lambda x: x * np.sqrt(5), "> 0.9"),
    "tone": (lambda x: x + 3 * np.sin(2 * np.pi * 0.05 * _T), "> 0.9"),
    "quiet": (lambda x: x * 0.1, "> 0.9"),
}


def measure() -> Iterator[Figure]:
    watcher = noise.watcher("ar1", 1)
    for name, (spoil, goal) in FAULTS.items():
        delays_s, shares = [], []
        for seed in range(_FIRST_SEED, _FIRST_SEED + _SEEDS):
            delay_s, share = _watch(watcher, _spoilt(spoil, seed))
            delays_s += [] if delay_s is None else [delay_s]
            shares.append(share)
        yield Figure(f"faults.{name}.detected", len(delays_s), f"of {_SEEDS}", None, f">= {_SEEDS}")
        if delays_s:
            spread = f"from {min(delays_s)} to {max(delays_s)} s"
            yield Figure(f"faults.{name}.delay", statistics.median(delays_s), "s", spread)
        lowest = f"the least of {_SEEDS}: {min(shares):.2g}"
        yield Figure(f"faults.{name}.standing", significant(statistics.median(shares)), "of the fault", lowest, goal)
    yield _at_best()


def _at_best() -> Figure:
    """What share of the drift an alarm could stand for at all."""
    spoil, _ = FAULTS["drift"]
    drifts = [_spoilt(spoil, seed)[:, 0].astype(np.float64) for seed in range(_FIRST_SEED, _FIRST_SEED + _SEEDS)]
    delay_s = statistics.median(clairvoyant.delays_s(drifts, _DRIFT / _HOUR, _HOUR))
    knows = f"found after {delay_s:g} s by a test that knows the noise's law and the drift's slope, at the same rate of false alarms"
    return Figure("faults.drift.at_best", significant(1 - delay_s / _HOUR), "of the fault", knows)


def _spoilt(spoil: Callable[[np.ndarray], np.ndarray], seed: int) -> Float32Array:
    """Three hours, the second of them at fault."""
    samples = noise.draw("ar1", 3 / 24, 1, seed)
    samples[_HOUR : 2 * _HOUR, 0] = spoil(samples[_HOUR : 2 * _HOUR, 0])
    return samples


def _watch(watcher: noise.Watcher, samples: Float32Array) -> tuple[int | None, float]:
    """Seconds from the fault's begin to an alarm that stands, and the share of the fault during which one does."""
    stands = [(end_s - _HOUR, standing) for end_s, _, standing in watcher.standing(samples)]
    found = [since_s for since_s, standing in stands if standing and 0 < since_s <= _HOUR + _LATE_S]
    during = [standing for since_s, standing in stands if 0 < since_s <= _HOUR]
    return (found[0] if found else None), sum(during) / len(during)


if __name__ == "__main__":
    for figure in measure():
        print(f"{figure.name} = {figure.value:g} {figure.unit}, goal {figure.goal} ({figure.against})", flush=True)
