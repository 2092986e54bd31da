"""A step that breaks: what it had in hand is dropped and counted, and the books of every stage stay sound."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from agent.decode.decoder import Decoder
from agent.decode.encode import Encoder
from agent.health import flow_reasons
from agent.types import Chunk
from tests.harness.pipelines import COUNTER, pipeline

PROFILES = {"a": COUNTER, "b": COUNTER}
STEP_NS = 10_000_000
SIZE = 40


def sent(start: int, count: int) -> list[Chunk]:
    """`count` frames of every device; device a's come first."""
    chunks = []
    for device, profile in PROFILES.items():
        encoder = Encoder(profile)
        frames = [encoder.frame([0.0, 0.0], 0) for _ in range(start + count)][start:]
        chunks += [Chunk(device, frame, (start + index) * STEP_NS) for index, frame in enumerate(frames)]
    return chunks


def bytes_of(chunks: list[Chunk]) -> int:
    return sum(len(chunk.data) for chunk in chunks)


@pytest.mark.parametrize(
    "breaks",
    [
        "agent.decode.decoder.Decoder._frames",
        "agent.decode.decoder.Decoder._batch",
        "agent.decode.envelope.Envelope.open",
        "agent.decode.scaling.Scaling.apply",
        "agent.sensors.watch.SensorWatch.inspect",
        "agent.window.aligner.Aligner._take",
        "agent.decide.summary.Summary.add_samples",
        "agent.pipeline.judging.cautious",
        "agent.decide.machine_alarms.MachineAlarms.judge",
    ],
)
def test_whatever_breaks_nothing_is_left_unaccounted(breaks: str) -> None:
    piped, _, _ = pipeline(PROFILES)
    good, broken, later = sent(0, SIZE), sent(SIZE, SIZE), sent(2 * SIZE, SIZE)
    piped.step(good)
    with patch(breaks, side_effect=RuntimeError("a defect")), pytest.raises(RuntimeError, match="a defect"):
        piped.step(broken)
    after = piped.report()
    assert flow_reasons(after.flow) == []
    assert after.counters["failed_steps"] == 1
    assert after.flow["bytes"].entered == bytes_of(good + broken)
    piped.step(later)
    last = piped.report()
    assert flow_reasons(last.flow) == []
    assert last.flow["bytes"].entered == bytes_of(good + broken + later)
    assert last.flow["samples"].entered > after.flow["samples"].entered


def test_bytes_that_no_decoder_saw_are_the_dropped_ones() -> None:
    piped, _, _ = pipeline(PROFILES)
    chunks = sent(0, SIZE)
    with patch.object(Decoder, "feed", side_effect=RuntimeError("a defect")), pytest.raises(RuntimeError):
        piped.step(chunks)
    assert piped.report().flow["bytes"].as_dict() == {
        "in": bytes_of(chunks),
        "out": 0,
        "held": 0,
        "dropped": bytes_of(chunks),
    }
    assert piped.counters["failed_bytes"] == bytes_of(chunks)
