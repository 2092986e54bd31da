"""What every scorer promises, run on ONNX Runtime in this process and in a child, and on the fake alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from agent.errors import InferenceError
from agent.infer.bundle import open_bundle
from agent.infer.isolated import Isolated
from agent.infer.loading import load
from agent.infer.scorer import FakeScorer, Scorer
from agent.infer.session import Session
from agent.infer.settings import InferenceSettings
from agent.infer.slot import ScorerSlot
from tests.harness.bundles import CHANNELS, PUBLIC, TIME, tiny_bundle

BUNDLE = open_bundle(tiny_bundle(), [PUBLIC])
CPU = InferenceSettings(device="cpu")
SCORERS: dict[str, Callable[[], Scorer]] = {
    "session": lambda: Session(BUNDLE, CPU),
    "isolated": lambda: Isolated(BUNDLE, InferenceSettings(device="cpu", isolate=True)),
    "slot": lambda: ScorerSlot(load(BUNDLE, CPU)),
    "fake": lambda: FakeScorer(CHANNELS, TIME),
}


@pytest.fixture(params=sorted(SCORERS))
def scorer(request: pytest.FixtureRequest) -> Iterator[Scorer]:
    found = SCORERS[request.param]()
    yield found
    if not isinstance(found, FakeScorer):
        found.close()


def windows(n: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(n, CHANNELS, TIME)).astype(np.float32)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 16, 17, 64, 100])
def test_every_window_gets_its_own_score(scorer: Scorer, n: int) -> None:
    given = windows(n)
    score, channel_score = scorer.score(given)
    assert (score.dtype, channel_score.dtype) == (np.float32, np.float32)
    expected = np.square(given.astype(np.float64)).mean(axis=2)
    np.testing.assert_allclose(channel_score, expected.reshape(n, CHANNELS), rtol=1e-5)
    np.testing.assert_allclose(score, expected.max(axis=1, initial=0), rtol=1e-5)


def test_a_window_scores_alike_alone_and_in_company(scorer: Scorer) -> None:
    given = windows(37)
    together, _ = scorer.score(given)
    alone = np.concatenate([scorer.score(given[index : index + 1])[0] for index in range(37)])
    np.testing.assert_allclose(together, alone, rtol=1e-6)


def test_read_only_and_strided_windows_are_taken(scorer: Scorer) -> None:
    base = np.random.default_rng(2).normal(size=(2, CHANNELS, 2 * TIME)).astype(np.float32)
    base.flags.writeable = False
    given = base[:, :, ::2]
    np.testing.assert_allclose(scorer.score(given)[0], scorer.score(given.copy())[0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_non_finite_window_is_refused(scorer: Scorer, value: float) -> None:
    given = windows(3)
    given[1, 2, 3] = value
    with pytest.raises(InferenceError, match="must be unknown instead"):
        scorer.score(given)


@pytest.mark.parametrize(
    "given",
    [
        windows(2).astype(np.float64),
        windows(2)[0],
        windows(2)[:, :1],
        windows(2)[:, :, :-1],
    ],
)
def test_windows_of_another_shape_or_type_are_refused(scorer: Scorer, given: np.ndarray) -> None:
    with pytest.raises(InferenceError, match="windows must be float32"):
        scorer.score(given)


def test_a_row_with_a_non_finite_output_is_nan_throughout_and_alone(scorer: Scorer) -> None:
    given = windows(3)
    given[1, 0, 0] = 1e30  # its square is beyond float32
    score, channel_score = scorer.score(given)
    assert np.isnan(score).tolist() == [False, True, False]
    assert np.isnan(channel_score).all(axis=1).tolist() == [False, True, False]
    assert np.isfinite(channel_score[[0, 2]]).all()


def test_there_is_nothing_to_stop_while_nothing_runs(scorer: Scorer) -> None:
    assert scorer.enforce_deadline(1 << 62) is False
    scorer.score(windows(1))
    assert scorer.enforce_deadline(1 << 62) is False
