"""What a calibration's data carry: the hours that it asks for are enough, and what it calls supported is near the truth."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from agent.decide import peaks
from agent.decide.calibration import Calibration, Lasting, exceedances_per_hour
from agent.decide.support import WIDEST, rarest_per_hour, rarest_words, support

SECOND = 1_000_000_000
CALIBRATION = Calibration(
    threshold=4.0, rate_per_hour=2.0, shape=0.0, scale=1.0, body_scores=[], body_rates=[], hours=12.0, clusters=24
)
MONTH = 1 / 730.485


def test_a_rate_that_was_seen_often_is_supported_and_one_far_beyond_is_not() -> None:
    assert support(CALIBRATION, 2.0).sufficient
    rare = support(CALIBRATION, MONTH)
    assert not rare.sufficient
    assert rare.factor == pytest.approx(math.exp(math.sqrt((1 + math.log(2 / MONTH) ** 2) / 24)))


@pytest.mark.parametrize("budget_per_hour", [10.0, 1.0, 1 / 168, MONTH, MONTH / 12])
def test_with_the_hours_that_it_asks_for_the_factor_is_the_widest(budget_per_hour: float) -> None:
    short = msgspec.structs.replace(CALIBRATION, hours=0.05)
    asked = short.hours + support(short, budget_per_hour).more_hours
    assert support(msgspec.structs.replace(short, hours=asked), budget_per_hour).factor == pytest.approx(WIDEST)


@pytest.mark.parametrize("hours", [0.1, 1.0, 12.0, 400.0])
def test_the_rarest_supported_budget_is_just_supported(hours: float) -> None:
    calibration = msgspec.structs.replace(CALIBRATION, hours=hours)
    assert support(calibration, rarest_per_hour(calibration)).factor == pytest.approx(WIDEST)


def test_excursions_in_bouts_and_rare_lasting_ones_ask_for_more() -> None:
    plain = support(CALIBRATION, MONTH).more_hours
    assert support(msgspec.structs.replace(CALIBRATION, independent=6.0), MONTH).more_hours > 3.9 * plain
    lasting = Lasting(reference=0.5, threshold=3.0, rate_per_hour=0.5, scale=1.0, excursions=6)
    assert support(msgspec.structs.replace(CALIBRATION, lasting=lasting), MONTH).more_hours > plain


def test_it_says_so_in_words() -> None:
    assert support(CALIBRATION, 1.0).words("1 per hour").startswith("12 h of normal operation support '1 per hour'")
    words = support(CALIBRATION, MONTH).words("1 per month")
    assert words == (
        "12 h of normal operation are too little for '1 per month': that rate may be wrong by a factor of 4.5; "
        "some 10 h more would bring it to 3"
    )
    assert rarest_words(CALIBRATION) == "8 per month"
    assert support(msgspec.structs.replace(CALIBRATION, hours=0.0), MONTH).more_hours > 0


def test_a_supported_budget_is_rarely_exceeded_by_more_than_the_factor() -> None:
    rng, exceeded = np.random.default_rng(5), 0
    for _ in range(40):
        score = rng.exponential(size=3_600 * 4).astype(np.float32)
        end_ns = (np.arange(len(score)) + 1) * SECOND
        calibration = msgspec.structs.replace(peaks.fit([(score, end_ns)], SECOND, SECOND), lasting=None)
        told = support(calibration, 0.5)
        assert told.sufficient
        candidates = np.linspace(calibration.threshold, 60, 2_000)
        at = candidates[np.searchsorted(-exceedances_per_hour(calibration, candidates), -0.5)]
        exceeded += 3_600 * math.exp(-at) > 0.5 * told.factor
    assert exceeded <= 4
