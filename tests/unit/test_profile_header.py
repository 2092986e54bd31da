"""The C header of a profile: compiled strictly, its self-test passes, and the agent decodes what it sends."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

from agent.decode.decoder import Decoder
from agent.decode.layout import Layout
from agent.decode.profile import Profile
from agent.decode.wrap import Wrapping
from agent.errors import ConfigError
from agent.profile_header.header import c_header
from agent.profile_header.self_test import vectors
from agent.types import Chunk
from tests.harness.profiles import COUNTED, golden, make, shipped, shipped_names
from tests.harness.wire import CHECKSUMS, FRAMINGS, LAYOUTS, profile_of

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")

BINARY = [name for name in shipped_names() if shipped(name).binary and shipped(name).transport == "serial"]

MAIN = """
#include <stdio.h>
#include "node.h"
int main(void)
{{
    if ({p}_self_test() != 0) {{
        return {p}_self_test();
    }}
    static const {p}_t record = {{0}};
    uint8_t frame[{P}_FRAME_BYTES];
    return fwrite(frame, 1, {p}_encode(&record, frame), stdout) == 0;
}}
"""


def run(folder, name, profile, frames):
    """What the compiled program sends for a record of zeros, once its self-test has passed."""
    prefix = f"stethos_{name.replace('-', '_')}"
    (folder / "node.h").write_text(c_header(name, profile, frames))
    (folder / "main.c").write_text(MAIN.format(p=prefix, P=prefix.upper()))
    command = [
        "gcc",
        "-std=c99",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-pedantic",
        "-O1",
        "-o",
        folder / "node",
        folder / "main.c",
    ]
    subprocess.run(command, check=True, timeout=60)
    done = subprocess.run([folder / "node"], check=False, capture_output=True, timeout=60)
    assert done.returncode == 0, f"record {done.returncode} of the self-test is wrong"
    return done.stdout


def decoded(profile: Profile, frame: bytes):
    delimiter = Wrapping(profile).delimiter
    return Decoder(profile, "d").feed([Chunk("d", delimiter + frame, 1_700_000_000_000_000_000)])


@pytest.mark.parametrize("name", BINARY)
def test_every_shipped_header_makes_the_golden_bytes_and_is_understood(name, tmp_path):
    profile, frames = shipped(name), golden(name)
    batch = Decoder(profile, "d").feed(frames.chunks())
    accepted = len(batch) // profile.frame_samples
    assert len(vectors(profile, Layout(profile.binary), frames)) == accepted
    frame = run(tmp_path, name, profile, frames)
    if not profile.time.field:  # a device time of zero is 1970, which a lone sample may well be
        assert len(decoded(profile, frame)) == profile.frame_samples


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_framing_and_layout_compiles_and_agrees_with_the_agent(framing, layout, tmp_path):
    profile = profile_of(framing, "crc16-modbus", layout)
    frame = run(tmp_path, "node-1", profile, None)
    batch = decoded(profile, frame)
    assert len(batch) == profile.frame_samples
    np.testing.assert_array_equal(batch.values, np.zeros_like(batch.values))


@pytest.mark.parametrize("checksum", CHECKSUMS)
def test_every_checksum_compiles_and_agrees_with_the_agent(checksum, tmp_path):
    profile = profile_of("cobs", checksum, "plain")
    assert len(decoded(profile, run(tmp_path, "node-1", profile, None))) == 1


def test_a_large_record_crosses_the_blocks_of_cobs(tmp_path):
    profile = profile_of("cobs", "crc32-iso-hdlc", "long")
    assert len(decoded(profile, run(tmp_path, "node-1", profile, None))) == profile.frame_samples


def test_a_text_profile_has_no_header():
    with pytest.raises(ConfigError, match="no packed binary record"):
        c_header("skab-csv", shipped("skab-csv"), None)


def test_field_names_that_c_cannot_say_are_made_sayable(tmp_path):
    profile = make(COUNTED.replace('"a"', '"int"').replace('"b"', '"3-b"'))
    assert len(decoded(profile, run(tmp_path, "1-node", profile, None))) == 1
