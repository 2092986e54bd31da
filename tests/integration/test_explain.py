"""Every family puts a fault down to the channel that has it, on faults where that channel is known."""

from __future__ import annotations

import numpy as np
import pytest

from export.models import FAMILIES
from export.synthetic import inject
from tests.bench import explain

CHANCE = 1 / 8


@pytest.fixture(scope="module")
def windows() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    mix = rng.normal(size=(8, 3))
    training, held_out, to_spoil = (explain.plant(rng, mix, n) for n in (200, 150, 300))
    spoilt = inject(to_spoil, 4, ("level", "step", "noisy", "spike"))
    alone = (spoilt.labels > 0) & (spoilt.channels.sum(axis=1) == 1)
    return training, held_out, spoilt.windows[alone], spoilt.channels[alone].argmax(axis=1)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_guilty_channel_ranks_first(
    windows: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain, "_EPOCHS", 5)
    first, among_three = explain.of_family(family, *windows)
    assert (first.name, among_three.name) == (f"explain.{family}.top1", f"explain.{family}.top3")
    assert first.value > 0.8 > 6 * CHANCE
    assert among_three.value > 0.9


def test_a_model_that_blames_at_random_is_found_out(
    windows: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    training, held_out, spoilt, guilty = windows
    shuffled = np.random.default_rng(0).permutation(guilty)
    first, _ = explain.of_family("zscore", training, held_out, spoilt, shuffled)
    assert first.value < 0.35
