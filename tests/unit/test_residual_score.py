"""What the residual's score sees and whom it blames, and that patches can be put together again."""

from __future__ import annotations

import pytest
import torch

from export.models.patches import Patching, before
from export.models.residual import ResidualScore


def residuals(n: int, seed: int) -> torch.Tensor:
    """Three channels, of which the first two move together."""
    noise = torch.randn(n, 3, 40, generator=torch.Generator().manual_seed(seed))
    return torch.stack([noise[:, 0], noise[:, 0] + 0.3 * noise[:, 1], 5 * noise[:, 2]], 1)


@pytest.fixture(scope="module")
def measure() -> ResidualScore:
    fitted = ResidualScore(3, 40)
    fitted.fit(residuals(500, 0))
    return fitted


SPOILT = {
    "an offset": lambda r: r + 2,
    "a ramp": lambda r: r + torch.linspace(0, 4, 40),
    "noise": lambda r: 2 * r,
    "quiet": lambda r: 0.3 * r,
    "a frozen sensor": torch.zeros_like,
    "a spike": lambda r: r + 8 * (torch.arange(40) == 20),
    "a lost relation": lambda r: r.roll(1, 0),
}
# What is missing from one of a pair looks the same as what the other has too much.
BROKEN_PAIR = {"quiet", "a frozen sensor", "a lost relation"}


@pytest.mark.parametrize("kind", SPOILT)
def test_every_kind_of_strangeness_is_seen_and_blamed_on_its_channel_or_pair(measure: ResidualScore, kind: str) -> None:
    usual, usual_channels = measure(residuals(300, 1))
    strange = residuals(300, 1)
    strange[:, 1] = SPOILT[kind](strange[:, 1])
    score, channel_score = measure(strange)
    assert score.median() > usual.quantile(0.95)
    blamed = (channel_score.median(0).values / usual_channels.median(0).values).argmax()
    assert blamed in ((0, 1) if kind in BROKEN_PAIR else (1,))


def test_normal_windows_score_near_one(measure: ResidualScore) -> None:
    score, channel_score = measure(residuals(300, 2))
    assert 0.8 < score.mean() < 2
    torch.testing.assert_close(channel_score.mean(0), torch.full((3,), 1.1), atol=0.2, rtol=0)


def test_stranger_stays_stranger_however_far(measure: ResidualScore) -> None:
    steps = torch.tensor([10.0, 30, 100, 1e3, 1e4])[:, None, None] * torch.tensor([1.0, 0, 0])[:, None]
    score, _ = measure(residuals(1, 3) + steps)
    assert (score.diff() > 0).all()


@pytest.mark.parametrize(("window", "count"), [(4, 16), (13, 4), (64, 16), (100, 32)])
def test_patches_put_together_are_the_window(window: int, count: int) -> None:
    patching = Patching.at_most(count, 3, window)
    z = torch.randn(2, 3, window)
    patches = patching.cut(z)
    assert patches.shape == (2, patching.count, patching.width)
    assert patching.count <= count
    assert torch.equal(patching.join(patches), z)
    assert torch.equal(before(patches, 2)[:, 2:], patches[:, :-2])
    assert not before(patches, 2)[:, :2].any()


def test_float32_keeps_the_spread_of_channels_that_are_far_out() -> None:
    """What the network leaves of such a window is a large level and a little spread: whitened together, the spread would be rounding."""
    generator = torch.Generator().manual_seed(4)
    normal = torch.randn(400, 1, 8, generator=generator) + 0.03 * torch.randn(400, 52, 8, generator=generator)
    measure = ResidualScore(52, 8)
    measure.fit(normal)
    measure.whiten[0].zero_()  # loudness and roughness alone
    side = torch.randn(52, 1, generator=generator).sign()
    far = side * (torch.linspace(1e2, 1e4, 32)[:, None, None] + 0.1 * torch.randn(32, 52, 8, generator=generator))
    _, found = measure(far)
    _, promised = measure.double()(far.double())
    torch.testing.assert_close(found.double(), promised, rtol=1e-4, atol=1e-6)
