"""Ten million windows and more through the inference stage, in batches and one by one, while its resident memory is watched."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.config.check import check
from agent.infer.scorer import Scorer
from tests.bench import fleet
from tests.bench.figures import Figure
from tests.bench.infer import windows_of

WINDOWS = 10_000_000
SINGLE_RUNS = 1_000_000
# Batches of no planned size among them, so that windows are cut in every way.
_COUNTS = (256, 100, 37, 16)
_WARM_UP = 0.1  # of the windows: allocators fill their pools first
_SAMPLES = 400
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_MIB = 1024 * 1024


def measure() -> Iterator[Figure]:
    """The convolutional model of the fleet; its time is what bounds the number of runs."""
    with tempfile.TemporaryDirectory() as folder:
        checked = check(fleet.write(Path(folder), 1, "mqtt://127.0.0.1:1883"))
    scorer = next(iter(checked.machines.values())).session
    started = time.monotonic()
    windows, runs, batched = soak(scorer, WINDOWS, _COUNTS)
    single, single_runs, one_by_one = soak(scorer, SINGLE_RUNS, (1,))
    hours = (time.monotonic() - started) / 3600
    against = (
        f"{windows + single:,} windows of 8 x 256 in {runs + single_runs:,} calls, {single_runs:,} of them of one window, "
        f"in {hours:.2f} h; {grown_bytes(batched) / 1024:.0f} and {grown_bytes(one_by_one) / 1024:.0f} KiB in all after a warm-up"
    )
    slope = (grown_bytes(batched) + grown_bytes(one_by_one)) / (windows + single) * 1e6 / _MIB
    yield Figure("infer.rss_slope", round(slope, 3), "MiB a million windows", against, "<= 0.1")


def soak(scorer: Scorer, windows: int, counts: tuple[int, ...]) -> tuple[int, int, npt.NDArray[np.float64]]:
    """Score at least `windows` windows, `counts` at a time in turns; returns windows, calls, and (window, bytes) [samples, 2]."""
    prepared = [windows_of(count) for count in counts]
    done, calls, samples = 0, 0, []
    while done < windows:
        given = prepared[calls % len(prepared)]
        scorer.score(given)
        done, calls = done + len(given), calls + 1
        if done * _SAMPLES // windows > len(samples):
            samples.append((done, resident_bytes()))
    return done, calls, np.array(samples, np.float64)


def grown_bytes(samples: npt.NDArray[np.float64]) -> float:
    """By how much memory grew over all windows but the warm-up, by the straight line of least squares."""
    after = samples[int(len(samples) * _WARM_UP) :]
    slope = np.polyfit(after[:, 0], after[:, 1], 1)[0]
    return float(slope * (after[-1, 0] - after[0, 0]))


def resident_bytes() -> int:
    """Of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
