"""Synthetic anomalies: each kind does what it says, and nothing else, the same from the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from export.synthetic import KINDS, RELATIONAL, inject


def normal(n: int = 60, channels: int = 3, time: int = 64) -> np.ndarray:
    """Correlated noise on a slow wave, at levels and scales that differ by channel."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=(n, 1, time)) + 2 * np.sin(np.arange(time) / 9 + rng.uniform(0, 6, (n, 1, 1)))
    own = 0.5 * rng.normal(size=(n, channels, time))
    scales = np.geomspace(0.1, 10, channels)[:, None]
    return (50 + scales * (common + own)).astype(np.float32)


def altered(kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Before and after of every series that the kind has altered, [m, time] each, and its channel's spread [m, 1]."""
    windows = normal()
    found = inject(windows, 1, [kind])
    spread = np.broadcast_to(windows.std(axis=(0, 2)), found.channels.shape)[found.channels]
    return windows[found.channels].astype(float), found.windows[found.channels].astype(float), spread[:, None]


def noise(series: np.ndarray) -> np.ndarray:
    return np.diff(series, 2, axis=1).std(axis=1)


def test_every_kind_takes_its_turn_and_labels_say_which() -> None:
    windows = normal(n=2 * len(KINDS))
    found = inject(windows, 7)
    assert sorted(found.labels.tolist()) == sorted([*range(1, len(KINDS) + 1)] * 2)
    assert (found.windows.dtype, found.windows.shape, found.kinds) == (np.float32, windows.shape, KINDS)
    assert ((found.windows != windows).any(axis=2) == found.channels).all()
    assert found.channels.any(axis=1).all()
    assert not found.channels.all(axis=1).all()


def test_the_same_seed_spoils_alike_and_another_one_differently() -> None:
    windows = normal()
    before = windows.copy()
    first, second, third = inject(windows, 3), inject(windows, 3), inject(windows, 4)
    np.testing.assert_array_equal(first.windows, second.windows)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert not np.array_equal(first.windows, third.windows)
    np.testing.assert_array_equal(windows, before)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_strange_is_at_the_end_of_the_window_or_a_spike(kind: str) -> None:
    before, after, _ = altered(kind)
    changed = before != after
    assert (changed.sum(axis=1) <= 3).all() if kind == "spike" else changed[:, -16:].any(axis=1).all()


def test_spikes_steps_levels_and_ramps_are_of_the_size_stated() -> None:
    for kind, low, high in (("spike", 4, 10), ("step", 1, 5), ("level", 1, 5), ("ramp", 1, 5)):
        before, after, spread = altered(kind)
        highest = np.abs((after - before) / spread).max(axis=1)
        assert highest.min() > low * 0.99, kind
        assert highest.max() < high * 1.01, kind
        assert highest.max() > 1.5 * highest.min(), kind


def test_a_tone_is_a_sine_of_at_most_two_spreads() -> None:
    before, after, spread = altered("tone")
    tone = (after - before) / spread
    assert 0.3 < np.abs(tone).max(axis=1).min() < np.abs(tone).max() < 2.01
    power = np.abs(np.fft.rfft(tone, axis=1)) ** 2
    assert np.median(power.max(axis=1) / power.sum(axis=1)) > 0.4


def test_noise_grows_or_collapses_and_a_stuck_value_does_not_change() -> None:
    before, after, _ = altered("noisy")
    assert (noise(after) > noise(before)).all()
    before, after, _ = altered("quiet")
    assert (noise(after) < noise(before)).all()
    _, after, _ = altered("stuck")
    assert (np.ptp(after[:, -16:], axis=1) == 0).all()


def test_a_scaled_window_keeps_its_level_and_shape() -> None:
    before, after, _ = altered("scaled")
    np.testing.assert_allclose(after.mean(axis=1), before.mean(axis=1), rtol=1e-4)
    factor = after.std(axis=1) / before.std(axis=1)
    assert ((np.abs(np.log(factor)) > np.log(1.69)) & (np.abs(np.log(factor)) < np.log(3.01))).all()


@pytest.mark.parametrize("kind", sorted(RELATIONAL))
def test_a_broken_relation_leaves_each_channel_normal_and_one_side_as_it_was(kind: str) -> None:
    windows = normal()
    found = inject(windows, 2, [kind])
    assert (~found.channels).any(axis=1).all()
    before, after, _ = altered(kind)
    assert after.std() == pytest.approx(before.std(), rel=0.1)
    together = [np.corrcoef(pair)[0, 1] for pair in zip(before, after, strict=True)]
    assert abs(np.mean(together)) < 0.5


def test_a_single_channel_is_only_spoilt_in_ways_that_show() -> None:
    found = inject(normal(channels=1), 0)
    assert not RELATIONAL & set(found.kinds)
    with pytest.raises(ValueError, match="no relation to break"):
        inject(normal(channels=1), 0, ["swapped"])


def test_channels_that_never_move_are_left_alone() -> None:
    windows = normal()
    windows[:, 1] = 7.0
    assert not inject(windows, 5).channels[:, 1].any()


def test_what_alters_nothing_is_labelled_normal() -> None:
    found = inject(np.ones((4, 2, 8), np.float32), 0, ["stuck"])
    assert found.labels.tolist() == [0, 0, 0, 0]
    assert inject(np.empty((0, 2, 8), np.float32), 0).labels.tolist() == []


@pytest.mark.parametrize("shape", [(3, 1, 4), (1, 3, 5), (40, 8, 32)])
def test_any_shape_gives_finite_windows(shape: tuple[int, ...]) -> None:
    windows = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    assert np.isfinite(inject(windows, 0).windows).all()
    assert np.isfinite(inject(3e38 * np.sign(windows), 0).windows).all()


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="no anomaly called melted"):
        inject(normal(), 0, ["melted"])
