"""Whatever the samples: judging them never raises, and how they were split into batches changes no flag and no state."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.decode.schema import Profile
from agent.sensors.watch import Sensors, SensorWatch
from agent.types import NANOSECONDS, Batch, Quality, TimeQuality
from tests.harness.sensors import START_NS, cut, profile

PROFILE = profile(
    "noise = 1.0\nresolution = 0.5\nmax_step = 4.0\nrails = [-3.0, 3.0]\nrest = [0.0]",
    "noise = 1.0\nresolution = 1.0\nstuck_after_s = 2.0\nmax_step = 2.0",
    "rails = [-2.0, 2.0]\nsilent_after_s = 3.0",
    more='[[agree]]\nchannels = ["c0", "c1"]\nwithin = 1.0\n[[agree]]\nchannels = ["c0", "c1", "c2"]\nnorm = 1.0\nwithin = 0.5\n',
    rate_hz=10.0,
)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """Stretches of noise, of frozen values, of spikes, of silence and of gaps, in any order."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    parts, gaps = [], []
    for _ in range(draw(st.integers(1, 8))):
        count = draw(st.integers(1, 120))
        part = draw(st.sampled_from([1.0, 0.0, 0.05, 20.0])) * random.standard_normal((count, 3))
        part = np.rint(part / (grid := draw(st.sampled_from([0.5, 1.0, 2.0])))) * grid
        part[:, draw(st.integers(0, 2))] += draw(st.sampled_from([0.0, 0.0, 5.0, -50.0]))
        part[random.random((count, 3)) < draw(st.sampled_from([0.0, 0.0, 0.3, 0.9]))] = np.nan
        parts.append(part)
        gaps.append(draw(st.sampled_from([0, 0, 5, 3_600, -3_600])))
    values = np.concatenate(parts).astype(np.float32)
    step_ns = np.full(len(values), NANOSECONDS // 10, np.int64)
    step_ns[np.cumsum([0, *map(len, parts[:-1])])] += np.array(gaps) * NANOSECONDS
    quality = np.where(np.isnan(values), np.uint8(Quality.MISSING), np.uint8(0))
    quality[random.random(values.shape) < 0.02] |= np.uint8(Quality.OUT_OF_RANGE)
    return Batch("d", START_NS + np.cumsum(step_ns), values, quality, TimeQuality.DEVICE)


def judged(rules: Profile, batch: Batch, sizes: list[int]) -> tuple[npt.NDArray[np.uint8], Sensors]:
    watch = SensorWatch(rules)
    quality = np.concatenate([watch.inspect(piece).quality for piece in cut(batch, sizes)])
    return quality, watch.report()


@settings(max_examples=150, deadline=None)
@given(batches(), st.lists(st.integers(1, 90), min_size=1, max_size=6))
def test_batches_change_nothing(batch: Batch, sizes: list[int]) -> None:
    whole, report = judged(PROFILE, batch, [len(batch)])
    single, by_one = judged(PROFILE, batch, [1])
    pieces, by_pieces = judged(PROFILE, batch, sizes)
    assert whole.tolist() == single.tolist() == pieces.tolist()
    assert report == by_one == by_pieces


@settings(max_examples=50, deadline=None)
@given(batches())
def test_flags_are_added_and_none_is_taken_away(batch: Batch) -> None:
    before = batch.quality.copy()
    after, _ = judged(PROFILE, batch, [64])
    assert ((after & before) == before).all()
    assert (batch.quality == before).all()
    missing = (before & np.uint8(Quality.MISSING)) != 0
    assert (after[missing] == before[missing]).all(), "what is not there has no fault of its own"


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_no_number_and_no_flag_makes_it_raise(seed: int, sizes: list[int]) -> None:
    random = np.random.default_rng(seed)
    values = random.choice(
        np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, 3.4e38, -3.4e38, 1.0], np.float32), (300, 3)
    )
    quality = random.integers(0, 256, values.shape).astype(np.uint8) * (random.random(values.shape) < 0.5)
    t_ns = random.integers(-(2**61), 2**61, 300)
    batch = Batch("d", t_ns, values, quality.astype(np.uint8), TimeQuality.DEVICE)
    with np.errstate(all="raise"):
        flags, report = judged(PROFILE, batch, sizes)
    assert flags.shape == values.shape
    assert len(report.channels) == 3
