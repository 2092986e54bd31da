"""Bearing frequencies against published ones, and the simulated defect where the geometry says it must be."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import butter, hilbert, sosfiltfilt

from agent.simulate.bearing import SKF_6205, Bearing
from agent.simulate.blocks import Blocks
from agent.simulate.motor import SHAFT_PER_MIN, Motor
from agent.simulate.schedule import Schedule, parse_schedule

SHAFT_HZ = SHAFT_PER_MIN / 60


def test_the_6205_has_the_frequencies_that_case_western_reserve_publishes() -> None:
    # Bearing Data Center, drive end, multiples of the running speed: inner 5.4152, outer 3.5848, cage 0.39828, rolling 4.7135
    # (which counts both races).
    assert SKF_6205.bpfi == pytest.approx(5.4152, abs=1e-4)
    assert SKF_6205.bpfo == pytest.approx(3.5848, abs=1e-4)
    assert SKF_6205.ftf == pytest.approx(0.39828, abs=1e-4)  # they round up
    assert 2 * SKF_6205.bsf == pytest.approx(4.7135, abs=2e-4)


def test_the_6203_has_the_frequencies_that_case_western_reserve_publishes() -> None:
    # Fan end: 8 balls of 0.2656 in on a pitch of 1.122 in: inner 4.9469, outer 3.0530, cage 0.3817, rolling 3.9874.
    bearing = Bearing(balls=8, ball_diameter=0.2656, pitch_diameter=1.122)
    assert bearing.bpfi == pytest.approx(4.9469, abs=2e-4)
    assert bearing.bpfo == pytest.approx(3.0530, abs=2e-4)
    assert bearing.ftf == pytest.approx(0.3817, abs=1e-4)
    assert 2 * bearing.bsf == pytest.approx(3.9874, abs=4e-4)


def test_an_angular_contact_bearing_by_hand() -> None:
    # 12 balls, d/D = 0.2, 60 degrees: the ratio counts half: 6 * 0.9, 6 * 1.1, 2.5 * (1 - 0.01), 0.45
    bearing = Bearing(balls=12, ball_diameter=10, pitch_diameter=50, contact_deg=60)
    assert (bearing.bpfo, bearing.bpfi) == (pytest.approx(5.4), pytest.approx(6.6))
    assert (bearing.bsf, bearing.ftf) == (pytest.approx(2.475), pytest.approx(0.45))


def peaks(signal: np.ndarray, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies and amplitudes of a signal's spectrum."""
    window = np.hanning(len(signal))
    amplitude = np.abs(np.fft.rfft((signal - signal.mean()) * window)) * 2 / window.sum()
    return np.fft.rfftfreq(len(signal), 1 / rate_hz), amplitude


def envelope(signal: np.ndarray, rate_hz: float) -> np.ndarray:
    """Of the band in which the housing rings."""
    band = butter(4, [0.25, 0.45], "bandpass", fs=1.0, output="sos")
    return np.abs(hilbert(sosfiltfilt(band, signal)))


def at(frequency_hz: float, spectrum: tuple[np.ndarray, np.ndarray]) -> float:
    """The highest line within 2 % of a frequency, over the median line of the 20 % around it."""
    frequencies, amplitude = spectrum
    near, around = (np.abs(frequencies - frequency_hz) < share * frequency_hz for share in (0.02, 0.2))
    return float(amplitude[near].max() / np.median(amplitude[around]))


def vibration(fault: str, rate_hz: float, seconds: float = 8.0) -> np.ndarray:
    schedule = parse_schedule([f"{fault}@0s"]) if fault else Schedule()
    return Blocks(Motor(rate_hz, 3, schedule), rate_hz).read(round(seconds * rate_hz))[:, 0]


@pytest.mark.parametrize("rate_hz", [1_000.0, 8_000.0])
@pytest.mark.parametrize(
    ("fault", "turns"),
    [("bearing-outer", SKF_6205.bpfo), ("bearing-inner", SKF_6205.bpfi), ("bearing-ball", 2 * SKF_6205.bsf)],
)
def test_a_defect_shows_at_its_frequency_in_the_envelope_and_nowhere_before(
    fault: str, turns: float, rate_hz: float
) -> None:
    healthy = peaks(envelope(vibration("", rate_hz), rate_hz), rate_hz)
    broken = peaks(envelope(vibration(fault, rate_hz), rate_hz), rate_hz)
    assert at(turns * SHAFT_HZ, broken) > 7
    assert at(turns * SHAFT_HZ, healthy) < 4
    strongest = broken[0][1:][np.argmax(broken[1][1:])]
    if fault == "bearing-outer":
        assert strongest == pytest.approx(turns * SHAFT_HZ, rel=0.02), "BPFO leads the envelope's spectrum"


def test_an_inner_defect_has_sidebands_of_the_shaft() -> None:
    spectrum = peaks(envelope(vibration("bearing-inner", 8_000.0), 8_000.0), 8_000.0)
    for sideband in (SKF_6205.bpfi - 1, SKF_6205.bpfi + 1):
        assert at(sideband * SHAFT_HZ, spectrum) > 7


def test_imbalance_is_the_first_order_and_misalignment_the_second() -> None:
    def orders(fault: str) -> tuple[float, float]:
        frequencies, amplitude = peaks(vibration(fault, 1_000.0), 1_000.0)
        return tuple(float(amplitude[np.abs(frequencies - order * SHAFT_HZ) < 1].max()) for order in (1, 2))  # type: ignore[return-value]

    healthy, imbalance, misalignment = orders(""), orders("imbalance"), orders("misalignment")
    assert imbalance[0] > 5 * healthy[0]
    assert imbalance[1] == pytest.approx(healthy[1], rel=0.3)
    assert misalignment[1] > 5 * healthy[1]
    assert misalignment[0] == pytest.approx(healthy[0], rel=0.3)


def test_a_rate_at_which_strikes_alias_is_refused() -> None:
    with pytest.raises(ValueError, match="needs 359 Hz"):
        Motor(100.0, 0, Schedule())
