"""Each fault is found within a stated number of samples and flagged; sound signals of many kinds raise none."""

from __future__ import annotations

import numpy as np
import pytest

from agent.sensors.faults import MEANING, Fault, State
from agent.sensors.watch import SensorWatch
from agent.types import NANOSECONDS, Batch, Quality, TimeQuality
from tests.harness.sensors import cut, faults, first_believed, on_grid, profile, samples, white

NOISY = "noise = 1.0\nresolution = 0.1"
ONSET = 1_000
SEEDS = range(5)


def inspected(watch: SensorWatch, batch: Batch) -> Batch:
    """The whole batch, seen in pieces of 64."""
    parts = [watch.inspect(piece) for piece in cut(batch, 64)]
    quality = np.concatenate([part.quality for part in parts])
    return Batch(batch.device, batch.t_ns, batch.values, quality, batch.time_quality)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_value_that_freezes_is_masked_after_five_repeats_and_stuck_after_ten(seed: int) -> None:
    values = white(ONSET + 200, seed)
    values[ONSET:] = values[ONSET - 1]
    believed = first_believed(SensorWatch(profile(NOISY)), samples(values), Fault.STUCK)
    assert believed is not None
    assert ONSET <= believed < ONSET + 12
    flagged = np.flatnonzero(inspected(SensorWatch(profile(NOISY)), samples(values)).quality[:, 0])
    assert ONSET + 2 <= flagged[0] <= ONSET + 4
    assert len(flagged) == ONSET + 200 - flagged[0], "from there on every value is"


def test_a_slow_quantised_value_is_stuck_only_by_its_own_stated_time() -> None:
    still = np.full(3_000, 21.5)
    slow = profile("noise = 0.02\nresolution = 0.5", rate_hz=1.0)
    watch = SensorWatch(slow)
    assert not inspected(watch, samples(still, 1.0)).quality.any()
    assert faults(watch) == [()]
    watch = SensorWatch(profile("noise = 0.02\nresolution = 0.5\nstuck_after_s = 600.0", rate_hz=1.0))
    assert first_believed(watch, samples(still, 1.0), Fault.STUCK) == 2_400 // 4, "600 s of talk"


def test_a_silence_of_the_device_makes_nothing_stuck() -> None:
    watch = SensorWatch(profile("stuck_after_s = 600.0", rate_hz=1.0))
    batch = samples(np.full(20, 1.0), 1.0)
    batch.t_ns[10:] += 86_400 * NANOSECONDS
    watch.inspect(batch)
    assert faults(watch) == [()]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sine_that_is_cut_off_at_its_rails_is_clipped_within_two_periods(seed: int) -> None:
    phase = np.random.default_rng(seed).uniform(0, 6)
    sine = np.sin(2 * np.pi * np.arange(2_000) / 50 + phase)
    sine[ONSET:] = np.clip(1.5 * sine[ONSET:], -1.2, 1.2)
    believed = first_believed(SensorWatch(profile("rails = [-1.2, 1.2]")), samples(sine), Fault.CLIPPED)
    assert believed is not None
    assert ONSET <= believed < ONSET + 100


def test_single_touches_of_a_rail_are_the_machines_own() -> None:
    values = white(2_000, 0)
    values[100::100] = 5.0
    watch = SensorWatch(profile("rails = [-5.0, 5.0]"))
    assert not inspected(watch, samples(values)).quality.any()


def test_values_out_of_range_are_a_state_after_three() -> None:
    values = white(100, 0)
    quality = np.zeros((100, 1), np.uint8)
    quality[50:60] = Quality.OUT_OF_RANGE
    assert first_believed(SensorWatch(profile("")), samples(values, quality=quality), Fault.OUT_OF_RANGE) == 52


@pytest.mark.parametrize("seed", SEEDS)
def test_spikes_are_masked_one_by_one_and_a_state_at_the_third(seed: int) -> None:
    values = white(ONSET + 600, seed)
    spikes = ONSET + 100 * np.arange(1, 5)
    values[spikes] += 50
    batch = samples(values)
    seen = inspected(SensorWatch(profile("max_step = 12.0")), batch)
    assert np.flatnonzero(seen.quality[:, 0] == Quality.JUMPED).tolist() == spikes.tolist()
    believed = first_believed(SensorWatch(profile("max_step = 12.0")), batch, Fault.JUMPED)
    assert believed == spikes[2] + 1, "when it has come back"


def test_a_real_step_is_believed_after_eight_values_and_is_no_fault() -> None:
    values = white(2_000, 0)
    values[ONSET:] += 500
    watch = SensorWatch(profile("max_step = 12.0"))
    seen = inspected(watch, samples(values))
    assert np.flatnonzero(seen.quality[:, 0]).tolist() == list(range(ONSET, ONSET + 7))
    assert faults(watch) == [()]
    assert watch.report().channels[0].changes == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_noise_that_collapses_is_quiet_within_two_blocks(seed: int) -> None:
    values = white(2_000, seed, noise=1.0, step=0.01)
    values[ONSET:] *= 0.1
    channel = "noise = 1.0\nresolution = 0.01"
    believed = first_believed(SensorWatch(profile(channel)), samples(values), Fault.QUIET)
    assert believed is not None
    assert ONSET + 50 < believed < ONSET + 201


def test_noise_that_grows_is_the_machines() -> None:
    values = np.random.default_rng(0).standard_normal(4_000)
    values[ONSET:] *= 10
    watch = SensorWatch(profile(NOISY))
    assert not inspected(watch, samples(on_grid(values, 0.1))).quality.any()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_grid_four_times_as_coarse_is_told_within_three_blocks(seed: int) -> None:
    values = white(2_000, seed)
    values[ONSET:] = on_grid(values[ONSET:], 0.4)
    believed = first_believed(SensorWatch(profile(NOISY)), samples(values), Fault.COARSE)
    assert believed is not None
    assert ONSET < believed < ONSET + 301


def test_two_channels_that_part_disagree_and_of_three_only_the_odd_one() -> None:
    random = np.random.default_rng(0)
    values = 20 + random.standard_normal((2_000, 3))
    values[ONSET:, 1] += 5
    two = SensorWatch(profile("", "", "", more='[[agree]]\nchannels = ["c0", "c1"]\nwithin = 2.0\n'))
    three = SensorWatch(profile("", "", "", more='[[agree]]\nchannels = ["c0", "c1", "c2"]\nwithin = 2.0\n'))
    for watch in (two, three):
        assert not inspected(watch, samples(values[:ONSET])).quality.any()
    assert first_believed(two, samples(values[ONSET:]), Fault.DISAGREES) == 100, "the value after a block of bad ones"
    inspected(three, samples(values[ONSET:]))
    assert faults(two) == [(Fault.DISAGREES,), (Fault.DISAGREES,), ()]
    assert faults(three) == [(), (Fault.DISAGREES,), ()]


def test_gravity_has_one_size_however_the_axes_shake() -> None:
    random = np.random.default_rng(0)
    values = np.array([0.6, 0.0, 0.8]) + 0.5 * random.standard_normal((2_000, 3))
    rule = '[[agree]]\nchannels = ["c0", "c1", "c2"]\nnorm = 1.0\nwithin = 0.3\n'
    watch = SensorWatch(profile("", "", "", more=rule))
    assert not inspected(watch, samples(values)).quality.any()
    values[:, 2] = 0.0
    inspected(watch, samples(values))
    assert faults(watch) == [(Fault.DISAGREES,)] * 3


def test_a_channel_that_stops_coming_has_dropped_out_once_it_is_silent_for_longer_than_it_may() -> None:
    values = np.stack([white(1_000, 0), white(1_000, 1)], axis=1)
    values[500:, 0] = np.nan
    believed = first_believed(SensorWatch(profile("", "")), samples(values), Fault.DROPPED_OUT)
    assert believed == 499 + 100 + 1, "silent_after_s is one second"


def test_channels_that_take_turns_are_all_there() -> None:
    values = np.stack([white(1_000, column) for column in range(8)], axis=1)
    values[np.arange(1_000)[:, None] % 8 != np.arange(8)] = np.nan
    watch = SensorWatch(profile(*[NOISY] * 8))
    assert not (inspected(watch, samples(values)).quality & ~np.uint8(Quality.MISSING)).any()
    assert faults(watch) == [()] * 8
    frozen = values.copy()
    frozen[500::8, 4] = frozen[500, 4]
    watch = SensorWatch(profile(*[NOISY] * 8))
    inspected(watch, samples(frozen))
    assert faults(watch)[4] == (Fault.STUCK,), "repeats of a channel count, whatever lies between"


def test_a_channel_sent_only_when_it_changes_may_be_silent_for_ever() -> None:
    values = np.stack([white(2_000, 0), np.full(2_000, np.nan)], axis=1)
    values[0, 1] = 1.0
    watch = SensorWatch(profile("", "silent_after_s = inf"))
    inspected(watch, samples(values))
    assert faults(watch) == [(), ()]


def test_before_its_first_value_a_channel_is_to_be_checked() -> None:
    values = np.array([[1.0, np.nan]])
    watch = SensorWatch(profile("", ""))
    watch.inspect(samples(values))
    assert [channel.state for channel in watch.report().channels] == [State.OK, State.CHECK_FUNCTION]


def test_a_fault_that_comes_and_goes_is_one_change_until_it_has_been_gone_for_ten_seconds() -> None:
    values = white(4_000, 3)
    for start in range(100, 1_000, 100):
        values[start : start + 50] = values[start]
    watch = SensorWatch(profile(NOISY))
    inspected(watch, samples(values[:1_900]))
    assert (faults(watch), watch.report().channels[0].changes) == ([(Fault.STUCK,)], 1)
    inspected(watch, samples(values[1_900:]))
    assert (faults(watch), watch.report().channels[0].changes) == ([()], 2)


SOUND = {
    "gaussian": (NOISY, lambda random, n: on_grid(random.standard_normal(n), 0.1)),
    "heavy-tailed": (NOISY, lambda random, n: on_grid(random.standard_t(3, n), 0.1)),
    "coarse but noisy": (
        "noise = 1.0\nresolution = 1.5",
        lambda random, n: on_grid(0.7 + random.standard_normal(n), 1.5),
    ),
    "quantised slow temperature": (
        "noise = 0.02\nresolution = 0.1",
        lambda random, n: on_grid(20 + 3 * np.sin(np.arange(n) / 3e4), 0.1),
    ),
    "constant setpoint": ("noise = 0.0\nresolution = 0.1", lambda random, n: np.full(n, 55.0)),
    "duty cycle with a dead band": (
        "noise = 0.05\nresolution = 0.01\nrest = [0.0]",
        lambda random, n: on_grid(np.where(np.arange(n) // 3_000 % 2, 8 + 0.05 * random.standard_normal(n), 0.0), 0.01),
    ),
    "ramp": (NOISY, lambda random, n: on_grid(np.arange(n) / 100 + random.standard_normal(n), 0.1)),
    "vibration": (
        "noise = 0.01\nresolution = 0.001\nrails = [-8.0, 8.0]\nmax_step = 8.0",
        lambda random, n: np.sin(np.arange(n) * 1.3) * 2 + 0.01 * random.standard_normal(n),
    ),
}


@pytest.mark.parametrize("kind", SOUND)
def test_sound_sensors_raise_nothing_and_lose_no_value(kind: str) -> None:
    keys, signal = SOUND[kind]
    watch = SensorWatch(profile(keys))
    seen = inspected(watch, samples(signal(np.random.default_rng(7), 40_000)))
    assert not seen.quality.any()
    assert faults(watch) == [()]


def test_steps_of_the_clock_change_nothing() -> None:
    values = white(3_000, 0)
    batch = samples(values)
    t_ns = batch.t_ns.copy()
    t_ns[1_000:] += 3_600 * NANOSECONDS
    t_ns[2_000:] -= 7_200 * NANOSECONDS
    watch = SensorWatch(profile(NOISY + "\nstuck_after_s = 60.0"))
    seen = inspected(watch, Batch("d", t_ns, batch.values, batch.quality, TimeQuality.DEVICE))
    assert not seen.quality.any()


def test_times_further_apart_than_int64_reaches_raise_nothing() -> None:
    watch = SensorWatch(profile(NOISY))
    for time_ns in (-(1 << 62) - 1, 1 << 62, -(1 << 62) - 1):
        batch = samples(white(8, 0))
        at_ns = np.full(8, time_ns, np.int64)
        seen = watch.inspect(Batch("d", at_ns, batch.values, batch.quality, TimeQuality.DEVICE))
        assert len(seen) == 8


def test_the_flags_come_in_a_new_array_and_a_sound_batch_is_handed_on_as_it_is() -> None:
    watch = SensorWatch(profile(NOISY))
    sound = samples(white(64, 0))
    assert watch.inspect(sound) is sound
    frozen = samples(np.full(64, 1.0))
    seen = watch.inspect(frozen)
    assert not frozen.quality.any()
    assert seen.quality.any()
    assert seen.values is frozen.values
    assert (
        len(watch.inspect(Batch("d", frozen.t_ns[:0], frozen.values[:0], frozen.quality[:0], TimeQuality.DEVICE))) == 0
    )


def test_every_fault_has_a_state_a_reason_and_a_remedy() -> None:
    assert set(MEANING) == set(Fault)
    for meaning in MEANING.values():
        assert meaning.state is not State.OK
        assert meaning.what
        assert meaning.remedy
