"""Faults as one writes them: what is meant, and which part of a line is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from agent.errors import ConfigError
from agent.simulate.schedule import KINDS, Fault, parse_fault, parse_schedule

S = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("noise@10s", Fault("noise", 10 * S)),
        ("noise@0s+500ms", Fault("noise", 0, S // 2)),
        ("stuck:x@1m 30s+10s", Fault("stuck", 90 * S, 100 * S, "x")),
        ("stuck:axis_1-raw@1s", Fault("stuck", S, channel="axis_1-raw")),
        ("bearing-outer@2m+1h", Fault("bearing-outer", 120 * S, 3_720 * S)),
    ],
)
def test_a_fault_has_a_kind_a_start_and_perhaps_a_duration_and_a_channel(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("noise", "write KIND@START"),
        ("", "write KIND@START"),
        ("noise@", "write KIND@START"),
        ("nois@1s", "did you mean 'noise'"),
        ("noise@soon", "'soon' is no duration"),
        ("noise@1s+long", "'long' is no duration"),
        ("noise@1s+0s", "lasts no time"),
        ("noise:x@1s", "leave out ':x'"),
        ("noise@-1s", "'-1s' is no duration"),
    ],
)
def test_what_is_wrong_is_said(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why.replace("+", r"\+")):
        parse_fault(text)


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        parse_schedule(["noise@1s", "nois@1s", "stuck"])
    assert [problem.where for problem in raised.value.problems] == ["--fault nois@1s", "--fault stuck"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_written(kind: str) -> None:
    assert parse_fault(f"{kind}@1s").kind == kind


def test_a_level_begins_grows_and_ends_with_its_fault() -> None:
    schedule = parse_schedule(["cavitation@2s+4s", "blocked-filter@0s"])
    t_s = np.arange(8.0)
    assert schedule.level("cavitation", t_s).tolist() == [0, 0, 1, 1, 1, 1, 0, 0]
    assert schedule.level("cavitation", t_s, grows_s=4).tolist() == [0, 0, 0, 0.25, 0.5, 0.75, 0, 0]
    assert schedule.level("imbalance", t_s).tolist() == [0] * 8
    assert schedule.level("blocked-filter", t_s, grows_s=2).tolist() == [0, 0.5, 1, 1, 1, 1, 1, 1]
