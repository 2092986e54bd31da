"""Golden frames: bytes made elsewhere than by our encoder decode to the samples beside them, whole and byte by byte."""

import tomllib

import numpy as np
import pytest

from agent.decode.decoder import Decoder
from agent.types import Chunk
from tests.harness.profiles import FOLDER, shipped, shipped_names

GOLDEN = sorted(path.stem for path in (FOLDER / "golden").glob("*.toml"))


def _chunks(golden, device, step=None):
    arrived_ns = golden["arrived_ns"]
    if "messages" in golden:
        return [Chunk(device, message.encode(), arrived_ns) for message in golden["messages"]]
    stream = bytes.fromhex(golden["hex"]) if "hex" in golden else golden["text"].encode()
    step = step or len(stream)
    return [Chunk(device, stream[i : i + step], arrived_ns) for i in range(0, len(stream), step)]


def test_every_shipped_profile_has_golden_frames():
    assert shipped_names() == GOLDEN


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("step", [None, 1])
def test_golden_frames_decode_to_their_samples(name, step):
    golden = tomllib.loads((FOLDER / "golden" / f"{name}.toml").read_text())
    decoder = Decoder(shipped(name), "d")
    batch = decoder.feed(_chunks(golden, "d", step))
    assert batch is not None
    assert batch.t_ns.tolist() == [sample["t_ns"] for sample in golden["sample"]]
    np.testing.assert_allclose(batch.values, [sample["values"] for sample in golden["sample"]], rtol=1e-5, atol=1e-9)
    assert batch.quality.tolist() == [sample["quality"] for sample in golden["sample"]]
    assert batch.lost == golden["lost"]
    assert decoder.balance().missing == 0
    assert decoder.frame_balance().missing == 0
