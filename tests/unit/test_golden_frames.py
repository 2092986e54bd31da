"""Golden frames: bytes made elsewhere than by our encoder decode to the samples beside them, whole and byte by byte."""

from __future__ import annotations

import numpy as np
import pytest

from agent.decode.decoder import Decoder
from agent.decode.golden import differences, parse_golden
from agent.errors import ConfigError
from tests.harness.profiles import FOLDER, golden, shipped, shipped_names

GOLDEN = sorted(path.stem for path in (FOLDER / "golden").glob("*.toml"))


def test_every_shipped_profile_has_golden_frames():
    assert shipped_names() == GOLDEN


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("step", [None, 1])
def test_golden_frames_decode_to_their_samples(name, step):
    frames = golden(name)
    decoder = Decoder(shipped(name), "d")
    batch = decoder.feed(frames.chunks(step))
    assert batch is not None
    assert batch.t_ns.tolist() == [sample.t_ns for sample in frames.sample]
    np.testing.assert_allclose(batch.values, [sample.values for sample in frames.sample], rtol=1e-5, atol=1e-9)
    assert batch.quality.tolist() == [sample.quality for sample in frames.sample]
    assert batch.lost == frames.lost
    assert decoder.balance().missing == 0
    assert decoder.frame_balance().missing == 0


@pytest.mark.parametrize("name", GOLDEN)
def test_what_is_right_has_no_differences(name):
    assert differences(shipped(name), golden(name)) == []


def _said(old, new):
    text = (FOLDER / "golden" / "accel3-cobs.toml").read_text()
    assert old in text
    return differences(shipped("accel3-cobs"), parse_golden(text.replace(old, new, 1), "g.toml"))


def test_a_value_that_differs_is_named_with_its_sample_and_channel():
    assert "sample 1: y is -0.1, the file says -0.2" in _said("0.1, -0.1", "0.1, -0.2")


def test_a_quality_a_time_and_a_loss_that_differ_are_named():
    assert "sample 3: the quality of x is 2, the file says 0" in _said("quality = [2", "quality = [0")
    assert any(
        "sample 0: t_ns is 1699999999996000000" in line
        for line in _said("t_ns = 1699999999996", "t_ns = 1699999999995")
    )
    assert "1 samples are lost by the counter, the file says 0" in _said("lost = 1", "lost = 0")


def test_bytes_that_are_refused_are_named_with_the_reason():
    said = _said("00 03 ff ff 02 64", "00 03 ff ff 02 65")  # the second frame: 20 bytes with its delimiters
    assert "the bytes give 3 samples, the file lists 4" in said
    assert "bytes 21 to 40: checksum error" in said


def test_a_frame_that_has_not_ended_is_said():
    said = _said("05 ff ff 96 da\n00", "05 ff ff 96 da")
    assert "the last 19 bytes are a frame that has not ended" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("arrived_ns = 1\nsample = []", "no bytes given (give one of hex, text, messages)"),
        ('arrived_ns = 1\nsample = []\nhex = "0g"', "not hex"),
        ('arrived_ns = 1\nsample = []\nhex = "00"\ntext = ""', "hex and text given"),
        ('arrived_ns = 1\nsample = []\nhexx = "00"', "unknown key 'hexx' (did you mean 'hex'?)"),
    ],
)
def test_mistakes_in_the_file_are_named(text, said):
    with pytest.raises(ConfigError) as caught:
        parse_golden(text, "g.toml")
    assert any(said in str(problem) for problem in caught.value.problems), caught.value
