"""The spectrogram as a convolution: the same as a Fourier transform, to the last cell, and not blind to level."""

from __future__ import annotations

import math

import pytest
import torch

from export.models.spectrogram import LogSpectrogram

FRAME, TIME = 16, 64


def tone(frequency: float) -> torch.Tensor:
    """[1, 1, time], `frequency` in periods a frame."""
    return torch.sin(2 * math.pi * frequency * torch.arange(TIME) / FRAME)[None, None]


def test_energies_are_those_of_a_short_time_fourier_transform() -> None:
    z = torch.randn((5, 2, TIME), generator=torch.Generator().manual_seed(0))
    spectrogram = LogSpectrogram(2, TIME, FRAME)
    t = torch.arange(FRAME)
    hann = 0.5 - 0.5 * torch.cos(2 * math.pi * (t + 0.5) / FRAME)
    frames = z.unfold(2, FRAME, FRAME // 2)
    kernel = torch.fft.rfft(torch.eye(FRAME) * hann, dim=1)[:, 1:]
    kernel = kernel - kernel.mean(0)
    expected = (torch.einsum("bcft,tk->bckf", frames.to(kernel.dtype), kernel).abs() ** 2) / FRAME
    energy = spectrogram.raw(z)[:, :, 1:].exp() - spectrogram.floor - 1e-6 * expected.sum(2, keepdim=True)
    torch.testing.assert_close(energy, expected, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(spectrogram.raw(z)[:, :, 0], frames.mean(3))


@pytest.mark.parametrize("periods", [2, 5, 7])
def test_a_tone_stands_in_the_row_of_its_frequency(periods: int) -> None:
    rows = LogSpectrogram(1, TIME, FRAME).raw(tone(periods))[0, 0, 1:]
    assert (rows.argmax(0) == periods - 1).all()


def test_a_shift_of_level_moves_the_first_row_alone() -> None:
    spectrogram, z = LogSpectrogram(1, TIME, FRAME), tone(3)
    plain, shifted = spectrogram.raw(z), spectrogram.raw(z + 7)
    torch.testing.assert_close(shifted[:, :, 0], plain[:, :, 0] + 7)
    torch.testing.assert_close(shifted[:, :, 1:], plain[:, :, 1:], rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(("time", "frame"), [(64, 16), (61, 16), (13, 64), (4, 8), (5, 2), (100, 9)])
def test_every_cell_counts(time: int, frame: int) -> None:
    z = torch.randn((1, 1, time), generator=torch.Generator().manual_seed(1))
    spectrogram = LogSpectrogram(1, time, frame)
    plain = spectrogram.raw(z)
    assert plain.shape == (1, 1, spectrogram.rows, spectrogram.frames)
    for cell in range(time):
        altered = z.clone()
        altered[0, 0, cell] += 10
        assert not torch.allclose(spectrogram.raw(altered), plain)


def test_rows_of_normal_windows_have_mean_0_and_variance_1() -> None:
    windows = torch.randn((200, 2, TIME), generator=torch.Generator().manual_seed(2)) * torch.tensor([[1.0], [1e-3]])
    spectrogram = LogSpectrogram(2, TIME, FRAME)
    spectrogram.fit(windows, lambda part: part)
    image = spectrogram(windows)
    torch.testing.assert_close(image.mean((0, 3)), torch.zeros(2, spectrogram.rows), atol=1e-4, rtol=0)
    torch.testing.assert_close(image.square().mean((0, 3)), torch.ones(2, spectrogram.rows), atol=1e-3, rtol=0)
