"""Why an alarm was raised: against a baseline that is known, in numbers, in words and as a picture."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.decide import baseline
from agent.decide.explanation import Explainer, picture, unpack
from agent.decide.spectrum import band_rms
from agent.types import TimeQuality, Verdict, Window

RATE_HZ, CELLS = 1_000.0, 256
NAMES, UNITS = ["accel.x", "motor.current"], ["m/s2", "A"]
T = np.arange(CELLS) / RATE_HZ


def normal(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 2, CELLS)) * np.array([0.5, 0.1])[:, None]
    values[:, 1] += 8.0 + rng.normal(size=(n, 1)) * 0.2
    return values.astype(np.float32)


BASELINE = baseline.fit(normal(500, seed=1), RATE_HZ)
EXPLAINER = Explainer(NAMES, UNITS, [1.0, 1.0], BASELINE, RATE_HZ)


def explained(values: np.ndarray, channel_score: list[float], explainer: Explainer = EXPLAINER):
    window = Window("m", 0, 256_000_000, values.astype(np.float32), None, TimeQuality.DEVICE)
    return explainer.model(Verdict(window, 9.0, np.array(channel_score, np.float32), None))


def test_the_baseline_knows_levels_spreads_and_bands_of_normal_windows() -> None:
    x, current = BASELINE.channels
    assert (x.low, x.middle, x.high) == (
        pytest.approx(-0.073, abs=0.01),
        pytest.approx(0, abs=0.01),
        pytest.approx(0.073, abs=0.01),
    )
    assert (current.low, current.high) == (pytest.approx(7.53, abs=0.1), pytest.approx(8.47, abs=0.1))
    assert (x.spread, current.spread) == (pytest.approx(0.5, rel=0.02), pytest.approx(0.1, rel=0.02))
    assert np.square(x.bands).sum() == pytest.approx(0.25, rel=0.1)
    assert len(x.bands) == len(BASELINE.band_edges_hz) - 1
    assert msgspec.json.decode(msgspec.json.encode(BASELINE), type=baseline.Baseline) == BASELINE


def test_a_tone_is_named_with_its_band_and_the_calm_channel_as_normal() -> None:
    values = normal(1, seed=2)[0]
    values[0] += 3 * np.sin(2 * np.pi * 120 * T)
    found = explained(values, [9.0, 1.0])
    expected = found.channels[0].expected
    low_hz, high_hz = expected.band_hz
    assert low_hz <= 120 <= high_hz
    assert expected.spread_times == pytest.approx(np.hypot(0.5, 3 / np.sqrt(2)) / 0.5, rel=0.1)
    assert found.sentence.startswith("Accel.x varies 4.")
    assert "times as much as usual, mostly at" in found.sentence
    assert found.sentence.endswith("motor.current is normal.")


def test_a_level_is_told_with_its_unit_and_what_is_usual() -> None:
    values = normal(1, seed=3)[0]
    values[1] += 4.0
    found = explained(values, [1.0, 9.0])
    assert found.sentence.startswith("Motor.current reads 12")
    assert " A, above its usual 7." in found.sentence
    assert found.sentence.endswith("accel.x is normal.")


def test_where_no_channel_stands_out_the_sentence_says_so() -> None:
    found = explained(normal(1, seed=4)[0], [2.0, 2.0])
    assert found.sentence == "No channel stands out by itself: their relation to each other is unusual."


def test_the_channels_that_lead_say_what_their_profile_advises_and_one_text_comes_once() -> None:
    advised = dataclasses.replace(
        EXPLAINER, actions={"accel.x": "Tighten the probe.", "motor.current": "Look at the fuse."}
    )
    loud = normal(1, seed=3)[0]
    told = explained(loud, [9.0, 1.1], advised)
    assert [(each.channel, each.text) for each in told.actions] == [("accel.x", "Tighten the probe.")]
    both = explained(loud, [9.0, 9.0], advised)
    assert (
        [each.channel for each in both.actions]
        == [each.channel for each in both.channels]
        == ["accel.x", "motor.current"]
    )
    same = dataclasses.replace(EXPLAINER, actions=dict.fromkeys(NAMES, "Restart the node."))
    assert [(each.channel, each.text) for each in explained(loud, [9.0, 9.5], same).actions] == [
        ("motor.current", "Restart the node.")
    ]
    assert explained(loud, [9.0, 1.1]).actions == []


def test_a_rule_says_what_the_profile_advises_for_the_channels_that_it_reads() -> None:
    advised = dataclasses.replace(EXPLAINER, actions={"motor.current": "Look at the fuse."})
    window = Window("m", 0, 256_000_000, normal(1, seed=3)[0], None, TimeQuality.DEVICE)
    told = advised.rule(window, [1], "mean([motor.current]) is above 9 A.")
    assert [(each.channel, each.text) for each in told.actions] == [("motor.current", "Look at the fuse.")]


def test_a_channel_with_a_missing_cell_is_held_against_nothing() -> None:
    values = normal(1, seed=5)[0]
    values[0, 3] = np.nan
    assert explained(values, [9.0, 1.0]).channels[0].expected is None


@pytest.mark.parametrize(("cells", "rate_hz"), [(4, 1.0), (13, 16.0), (256, 12_800.0), (5_000, 10.0)])
def test_bands_cover_every_frequency_once(cells: int, rate_hz: float) -> None:
    edges = baseline.band_edges_hz(cells, rate_hz)
    values = np.random.default_rng(6).normal(size=cells)
    taper = np.hanning(cells + 2)[1:-1]
    whole = np.square((values - values.mean()) * taper).sum() / (taper @ taper)
    dc = ((values - values.mean()) * taper).sum() ** 2 / cells / (taper @ taper)
    assert np.square(band_rms(values, rate_hz, edges)).sum() == pytest.approx(whole - dc, rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.integers(1, 3_000), st.booleans(), st.floats(1e-30, 1e30))
def test_a_picture_is_small_and_shows_the_window(channels: int, cells: int, holes: bool, size: float) -> None:
    rng = np.random.default_rng(channels * cells)
    values = (rng.normal(size=(channels, cells)) * size).astype(np.float32)
    if holes:
        values[:, rng.random(cells) < 0.3] = np.nan
    window = Window("m", 0, 1, values, None, TimeQuality.DEVICE)
    seen = picture(window, range(channels), [f"c{row}" for row in range(channels)])
    assert len(msgspec.json.encode(seen)) < 8_192
    drawn = unpack(seen)
    assert drawn.shape == (channels, seen.points)
    if seen.points == cells:
        np.testing.assert_array_equal(np.isnan(drawn), np.isnan(values))
        reach = np.nanmax(np.abs(values)) if np.isfinite(values).any() else 0.0
        np.testing.assert_allclose(np.nan_to_num(drawn), np.nan_to_num(values), atol=reach / 10_000)
