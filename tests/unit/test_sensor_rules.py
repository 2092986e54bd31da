"""What a profile states of its sensors' faults is checked, and turned into what may be expected of each channel."""

from __future__ import annotations

import pytest

from agent.errors import ConfigError
from agent.sensors.limits import limits
from tests.harness.profiles import COUNTED, make
from tests.harness.sensors import profile


@pytest.mark.parametrize(
    ("channel", "what"),
    [
        ("rails = [5.0, -5.0]", "5.0 to -5.0 is no range"),
        ("rails = [-inf, 5.0]", "-inf to 5.0 is no range"),
        ("noise = nan", "noise"),
        ("noise = -1.0", "noise"),
        ("stuck_after_s = inf", "inf is no finite number"),
        ("max_step = 0.0", "max_step"),
        ("rest = [nan]", "a value at rest is a finite number"),
        ("silent_after_s = 0.0", "silent_after_s"),
    ],
)
def test_keys_of_a_channel_that_cannot_hold_are_problems(channel: str, what: str) -> None:
    with pytest.raises(ConfigError) as error:
        profile(channel)
    assert what in str(error.value)


@pytest.mark.parametrize(
    ("rule", "what"),
    [
        ('channels = ["c0", "c2"]\nwithin = 1.0', "there is no channel 'c2'"),
        ('channels = ["c0"]\nwithin = 1.0', "it takes two different channels to agree"),
        ('channels = ["c0", "c0"]\nwithin = 1.0', "it takes two different channels to agree"),
        ('channels = ["c0", "c1"]\nwithin = inf', "inf is no finite number"),
        ('channels = ["c0", "c1"]\nwithin = 1.0\nnorm = inf', "inf is no finite number"),
        ('channels = ["c0", "c1"]', "the key 'within' is missing"),
    ],
)
def test_agreements_that_cannot_hold_are_problems(rule: str, what: str) -> None:
    with pytest.raises(ConfigError) as error:
        profile("", "", more=f"[[agree]]\n{rule}\n")
    assert what in str(error.value)


def test_channels_of_different_units_cannot_agree() -> None:
    text = COUNTED.replace('name = "b", unit = "1"', 'name = "b", unit = "A"')
    with pytest.raises(ConfigError, match="different units"):
        make(text + '[[agree]]\nchannels = ["a", "b"]\nwithin = 1.0\n')


@pytest.mark.parametrize(
    ("keys", "repeats", "is_dithered"),
    [
        ("noise = 1.0\nresolution = 0.1", 5, True),
        ("noise = 1.0\nresolution = 1.0", 15, True),
        ("noise = 1.0\nresolution = 2.0", 37, False),
        ("noise = 1.0\nresolution = 2.1", None, False),
        ("noise = 1.0\nresolution = 1e-9", 4, True),
        ("noise = 1.0", None, False),
        ("noise = 0.0\nresolution = 0.1", None, False),
        ("resolution = 0.1", None, False),
    ],
)
def test_repeats_mean_something_only_where_noise_moves_the_value_over_its_grid(
    keys: str, repeats: int | None, is_dithered: bool
) -> None:
    made = profile(keys)
    found = limits(made, made.channel[0])
    assert (found.doubtful_repeats, found.is_dithered) == (repeats, is_dithered)


def test_an_integer_of_a_binary_record_moves_in_steps_of_its_scale_and_a_float_says_nothing() -> None:
    made = make(COUNTED)
    assert [limits(made, channel).step for channel in made.channel] == [0.5, None]
