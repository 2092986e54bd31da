"""Augmentation: windows keep their shape, their size and their meaning, and the same seed gives the same ones."""

from __future__ import annotations

import pytest
import torch

from agent.errors import ConfigError
from export.augment import AUGMENTATIONS, Augment, parse

MEAN, DEVIATION = torch.tensor([[100.0], [0.0], [-5.0]]), torch.tensor([[10.0], [0.01], [1.0]])


def windows(n: int = 64, time: int = 40) -> torch.Tensor:
    z = torch.randn((n, 3, time), generator=torch.Generator().manual_seed(0)) + torch.sin(torch.arange(time) / 5)
    return z * DEVIATION + MEAN


def augment(names: tuple[str, ...], given: torch.Tensor, seed: int = 1) -> torch.Tensor:
    altered: torch.Tensor = Augment(names, MEAN, DEVIATION, torch.Generator().manual_seed(seed))(given)
    return altered


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_each_alters_windows_a_little_and_alike_from_the_same_seed(name: str) -> None:
    given = windows()
    before = given.clone()
    altered = augment((name,), given)
    assert (altered.shape, altered.dtype) == (given.shape, given.dtype)
    assert torch.equal(given, before)
    assert torch.equal(altered, augment((name,), given))
    assert not torch.equal(altered, augment((name,), given, seed=2))
    moved = ((altered - given) / DEVIATION).square().mean().sqrt()
    assert 0.01 < moved < 1.5


def test_without_a_generator_torchs_own_seed_decides() -> None:
    step = Augment(("jitter", "mix"), MEAN, DEVIATION)
    torch.manual_seed(5)
    first = step(windows())
    torch.manual_seed(5)
    assert torch.equal(step(windows()), first)


def test_jitter_is_a_twentieth_of_each_channels_deviation() -> None:
    moved = (augment(("jitter",), windows()) - windows()) / DEVIATION
    torch.testing.assert_close(moved.std((0, 2)), torch.full((3,), 0.05), rtol=0.1, atol=0)


def test_scaling_keeps_each_channels_level() -> None:
    given, altered = windows(), augment(("scale",), windows())
    torch.testing.assert_close(
        (altered.mean(2) - MEAN.T) / DEVIATION.T, (given.mean(2) - MEAN.T) / DEVIATION.T, atol=1e-4, rtol=0
    )
    factors = altered.std(2) / given.std(2)
    assert 0.05 < factors.std() < 0.15


def test_a_warp_keeps_both_ends_and_bends_all_channels_alike() -> None:
    ramp = torch.arange(40.0).expand(8, 3, 40)
    bent = Augment(("warp",), torch.zeros(3, 1), torch.ones(3, 1), torch.Generator().manual_seed(0))(ramp)
    torch.testing.assert_close(bent[:, :, [0, -1]], ramp[:, :, [0, -1]])
    assert (bent.diff(dim=2) > 0).all()
    assert torch.equal(bent[:, 0], bent[:, 2])
    assert (bent - ramp).abs().max() > 0.5


def test_dropout_flattens_some_channels_to_their_mean_and_never_all() -> None:
    altered = augment(("dropout",), windows(n=2_000))
    flat = (altered == MEAN).all(2)
    assert 0.08 < flat.float().mean() < 0.12
    assert not flat.all(1).any()


def test_a_mixed_window_lies_between_two_of_the_batch() -> None:
    constant = torch.arange(10.0)[:, None, None].expand(10, 3, 4).clone()
    mixed = Augment(("mix",), torch.zeros(3, 1), torch.ones(3, 1), torch.Generator().manual_seed(0))(constant)
    assert ((mixed >= 0) & (mixed <= 9)).all()
    assert ((mixed - constant).abs() <= 0.2 * 9).all()


def test_a_channel_at_rest_stays_at_rest() -> None:
    given = windows()
    given[:, 1] = 7.0
    altered = augment(tuple(AUGMENTATIONS), given)
    assert (altered[:, 1] == 7.0).all()


@pytest.mark.parametrize("shape", [(1, 3, 1), (2, 3, 2), (0, 3, 8)])
def test_odd_shapes_pass(shape: tuple[int, ...]) -> None:
    given = torch.randn(shape)
    if len(given):
        assert torch.isfinite(augment(tuple(AUGMENTATIONS), given)).all()


def test_names_are_read_from_text() -> None:
    assert parse(" jitter, scale") == ("jitter", "scale")
    assert parse("") == ()
    with pytest.raises(ConfigError, match="did you mean 'jitter'"):
        parse("jiter")
