"""Which errors the report draws: the worst first, none twice, and of each the channels that are strangest."""

from __future__ import annotations

import numpy as np

from agent.window.contract import Contract, ContractChannel
from export.data import Run
from export.judge.scoring import DecidedRun, ScoredRun
from export.report import errors
from export.windows import Windows

S = 1_000_000_000
CHANNELS = [ContractChannel(name=name, unit="1") for name in ("a", "b", "c")]
CONTRACT = Contract(channels=CHANNELS, rate_hz=1.0, window=4, hop=1)


def decided(score: np.ndarray, flagged: np.ndarray, anomalous: np.ndarray) -> DecidedRun:
    n = len(score)
    values = np.random.default_rng(0).normal(size=(n, 3, 4)).astype(np.float32)
    windows = Windows("run", values, (np.arange(n) + 4) * S, anomalous.astype(np.int64), 0)
    run = Run("run", "test", np.arange(n + 4) * S, np.zeros((n + 4, 3), np.float32), None)
    channel_score = np.tile(np.array([1.0, 8.0, 3.0], np.float32), (n, 1))
    return DecidedRun(ScoredRun(run, windows, score.astype(np.float32), channel_score), flagged, [])


def example() -> DecidedRun:
    score = np.arange(40, dtype=float)
    anomalous = np.arange(40) % 20 >= 10
    return decided(score, score >= 24, anomalous)


def test_false_alarms_come_by_falling_score_and_apart() -> None:
    found = errors.false_alarms([example()], CONTRACT, errors.usual([example()], [1.0, 1.0, 1.0]))
    assert [each.score for each in found] == [29.0, 25.0]
    assert found[0].ends == "1970-01-01 00:00:33"


def test_misses_come_by_rising_score_and_apart() -> None:
    found = errors.misses([example()], CONTRACT, errors.usual([example()], [1.0, 1.0, 1.0]))
    assert [each.score for each in found] == [10.0, 14.0, 18.0]


def test_no_more_than_a_few_are_drawn() -> None:
    many = decided(np.arange(400.0), np.ones(400, np.bool_), np.zeros(400, np.bool_))
    assert len(errors.false_alarms([many], CONTRACT, errors.usual([many], [1.0] * 3))) == 6


def test_channels_are_held_against_their_own_usual_level() -> None:
    normal = errors.usual([example()], [0.1, 8.0, 1.0])
    (worst, *_) = errors.false_alarms([example()], CONTRACT, normal)
    assert [(name, times) for name, times, _ in worst.channels] == [("a", 10.0), ("c", 3.0), ("b", 1.0)]
    assert all("<svg" in drawing for _, _, drawing in worst.channels)
