"""Which channels an alarm names, in what order, with what numbers."""

from __future__ import annotations

import msgspec
import pytest

from agent.decide.contributions import top_channels
from tests.harness.streams import verdict

NAMES, UNITS = ["pump.x", "pump.y", "pump.z"], ["m/s2", "m/s2", "Cel"]
VALUES = [[1, 3], [5, 5], [-2, 4]]


def test_channels_are_ordered_by_their_share_of_what_exceeds_the_usual() -> None:
    found = top_channels(verdict(0, channel_score=[11, 2, 4], values=VALUES), NAMES, UNITS, [10, 1, 1])
    assert [(each.channel, each.share, each.times_usual) for each in found] == [
        ("pump.z", pytest.approx(0.6), pytest.approx(4.0)),
        ("pump.x", pytest.approx(0.2), pytest.approx(1.1)),
        ("pump.y", pytest.approx(0.2), pytest.approx(2.0)),
    ]
    assert (found[0].mean, found[0].minimum, found[0].maximum, found[0].unit) == (1.0, -2.0, 4.0, "Cel")


def test_no_more_channels_than_asked_for() -> None:
    found = top_channels(verdict(0, channel_score=[1, 2, 3], values=VALUES), NAMES, UNITS, [0, 0, 0], limit=2)
    assert [each.channel for each in found] == ["pump.z", "pump.y"]


def test_a_usual_level_of_zero_has_no_multiple() -> None:
    found = top_channels(verdict(0, channel_score=[1, 0, 0], values=VALUES), NAMES, UNITS, [0, 0, 0])
    assert (found[0].share, found[0].times_usual) == (1.0, None)


def test_where_nothing_exceeds_the_usual_the_score_itself_is_shared_out() -> None:
    found = top_channels(verdict(0, channel_score=[1, 3, 0], values=VALUES), NAMES, UNITS, [5, 5, 5])
    assert [each.share for each in found] == [0.75, 0.25, 0.0]


@pytest.mark.parametrize("scores", [[0, 0, 0], [float("nan")] * 3, [float("inf"), 1, 0]])
def test_shares_stay_numbers_whatever_the_scores(scores: list[float]) -> None:
    found = top_channels(verdict(0, channel_score=scores, values=VALUES), NAMES, UNITS, [0.5, 0.5, 0.5])
    assert all(0 <= each.share <= 1 for each in found)
    assert b"null" not in msgspec.json.encode([each.share for each in found])
