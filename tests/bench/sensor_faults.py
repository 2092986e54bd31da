"""Sensor faults with known onset: how many of ten are found, after how many values; and what sound sensors are blamed for."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from agent.sensors.faults import Fault
from agent.sensors.watch import SensorWatch
from tests.bench.figures import Figure, significant
from tests.harness.sensors import cut, first_believed, on_grid, profile, samples

_SEEDS = range(10)
_ROWS, _BATCH = 2_000, 64
_ONSETS = 1_000, 1_100  # anywhere in a block
_DAY_ROWS, _DAY_HZ, _CHANNELS = 864_000, 10.0, 8
_TIMED_BATCHES = 2_000

Floats = npt.NDArray[np.float64]
Spoil = Callable[[Floats, np.random.Generator], Floats]

_NOISY = "noise = 1.0\nresolution = 0.1"
_PAIR = '[[agree]]\nchannels = ["c0", "c1"]\nwithin = 2.0\n'


def _frozen(values: Floats, _: np.random.Generator) -> Floats:
    return np.full_like(values, values[0])


def _spikes(values: Floats, random: np.random.Generator) -> Floats:
    return values + 50.0 * (random.random((len(values), 1)) < 0.02)


# What becomes of the values [n, 2] from the onset on, and what the profile states of the channel.
FAULTS: dict[Fault, tuple[str, Spoil]] = {
    Fault.STUCK: (_NOISY, _frozen),
    Fault.CLIPPED: ("rails = [-0.8, 0.8]", lambda values, _: values.clip(-0.8, 0.8)),
    Fault.JUMPED: ("max_step = 12.0", _spikes),
    Fault.QUIET: (_NOISY, lambda values, _: 0.2 * values),
    Fault.COARSE: (_NOISY, lambda values, _: on_grid(values, 0.4)),
    Fault.DISAGREES: ("", lambda values, _: values + np.array([3.0, 0.0])),
    Fault.DROPPED_OUT: ("", lambda values, _: values + np.array([np.nan, 0.0])),
}

# Sound sensors, each with what its profile would say.
SOUND: dict[str, tuple[str, Callable[[np.random.Generator, int], Floats]]] = {
    "gaussian": (_NOISY, lambda random, n: on_grid(random.standard_normal(n), 0.1)),
    "student_t3": (_NOISY, lambda random, n: on_grid(random.standard_t(3, n), 0.1)),
    "coarse_grid": ("noise = 1.0\nresolution = 1.5", lambda random, n: on_grid(random.standard_normal(n) + 0.7, 1.5)),
    "slow_temperature": (
        "noise = 0.02\nresolution = 0.1",
        lambda _, n: on_grid(20 + 3 * np.sin(2 * np.pi * np.arange(n) / n), 0.1),
    ),
    "setpoint": ("noise = 0.0\nresolution = 0.1", lambda _, n: np.full(n, 55.0)),
    "duty_cycle": (
        "noise = 0.05\nresolution = 0.01\nrest = [0.0]",
        lambda random, n: on_grid(np.where(np.arange(n) // 6_000 % 2, 8 + 0.05 * random.standard_normal(n), 0), 0.01),
    ),
    "ramp": (_NOISY, lambda random, n: on_grid(np.arange(n) % 9_000 / 100 + random.standard_normal(n), 0.1)),
    "vibration": (
        "noise = 0.01\nresolution = 0.001\nrails = [-8.0, 8.0]\nmax_step = 8.0",
        lambda random, n: 2 * np.sin(1.3 * np.arange(n)) + 0.01 * random.standard_normal(n),
    ),
}


def measure() -> Iterator[Figure]:
    for fault, (keys, spoil) in FAULTS.items():
        delays = [delay for seed in _SEEDS if (delay := _delay(fault, keys, spoil, seed)) is not None]
        name = f"sensor_faults.{fault}"
        yield Figure(f"{name}.detected", len(delays), f"of {len(_SEEDS)}", None, f"{len(_SEEDS)}")
        if delays:
            yield Figure(f"{name}.delay", significant(statistics.median(delays)), "values", "median; 100 a second")
    changes, flagged = _sound()
    days = f"{len(SOUND)} kinds of sound sensors, a day each at {_DAY_HZ:g} Hz"
    yield Figure("sensor_faults.false_states", significant(changes / len(SOUND)), "a channel and day", days, "0")
    yield Figure(
        "sensor_faults.false_flags", significant(flagged / len(SOUND) / _DAY_ROWS * 1e6), "of 1e6 values", days
    )
    for name, keys in (("no_rule", ""), ("every_rule", _NOISY + "\nrails = [-50.0, 50.0]\nmax_step = 20.0")):
        yield Figure(
            f"sensor_faults.cost.{name}", significant(_cost_us(keys), 2), "us", f"a batch of {_BATCH} x {_CHANNELS}"
        )


def _delay(fault: Fault, keys: str, spoil: Spoil, seed: int) -> int | None:
    """Values from the onset to the state; None where it is not set, or was before."""
    random = np.random.default_rng(seed)
    onset = int(random.integers(*_ONSETS))
    values = on_grid(random.standard_normal((_ROWS, 2)), 0.1)
    if fault is Fault.CLIPPED:  # a machine that turns, whose sensor's range has shrunk
        values = np.sin(2 * np.pi * np.arange(_ROWS)[:, None] / 50 + random.uniform(0, 6)) * [0.79, 0.79]
        values[onset:] *= 1.5
    values[onset:] = spoil(values[onset:], random)
    more = _PAIR if fault is Fault.DISAGREES else ""
    believed = first_believed(SensorWatch(profile(keys, "", more=more)), samples(values), fault)
    return None if believed is None or believed < onset else believed - onset


def _sound() -> tuple[int, int]:
    """State changes and flagged values of a day of each sound sensor."""
    changes = flagged = 0
    for keys, signal in SOUND.values():
        watch = SensorWatch(profile(keys, rate_hz=_DAY_HZ))
        batch = samples(signal(np.random.default_rng(7), _DAY_ROWS), _DAY_HZ)
        flagged += sum(int(np.count_nonzero(watch.inspect(piece).quality)) for piece in cut(batch, 1_024))
        changes += watch.report().channels[0].changes
    return changes, flagged


def _cost_us(keys: str) -> float:
    """Processor time for a batch."""
    watch = SensorWatch(profile(*[keys] * _CHANNELS))
    random = np.random.default_rng(0)
    batches = list(cut(samples(on_grid(random.standard_normal((_TIMED_BATCHES * _BATCH, _CHANNELS)), 0.1)), _BATCH))
    started = time.process_time()
    for batch in batches:
        watch.inspect(batch)
    return (time.process_time() - started) / _TIMED_BATCHES * 1e6
