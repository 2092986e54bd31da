"""The agent's own samples change no decision: with and without them the same bytes give the same alarms, and every book balances."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from agent.assembly import composer_of, pipeline_of
from agent.canary import PROFILE
from agent.config.check import check
from agent.decode.encode import Encoder
from agent.types import CANARY, NANOSECONDS, Chunk, Commit
from agent.upstream.topics import Topics
from tests.harness.agent_folder import AgentFolder

BEGIN_NS = 1_760_000_000_000_000_000
STEP_NS = NANOSECONDS // 10
HOUR_NS = 3_600 * NANOSECONDS


def of_devices(accel: Encoder, drive: Encoder) -> Iterator[list[Chunk]]:
    """Ten samples of both devices in each tenth of a second; a fault after 20 s, and a clock that is set forward an hour after 10 s."""
    random = np.random.default_rng(5)
    for turn in range(300):
        level = 4.0 if 200 <= turn < 250 else 1.0
        monotonic_ns = turn * STEP_NS
        now_ns = BEGIN_NS + monotonic_ns + (HOUR_NS if turn >= 100 else 0)
        values = random.standard_normal((10, 3)) * [level, 1, 1]
        frames = b"".join(accel.frame([x, y, 20.0], 0) for x, y, _ in values)
        chunks = [Chunk("accel", frames, now_ns, "", monotonic_ns)]
        chunks += [Chunk("drive", drive.frame([i], 0), now_ns, "plant/drive/1", monotonic_ns) for i in values[:, 2]]
        yield chunks


def decided(folder: AgentFolder, *, with_canary: bool) -> tuple[list[Commit], dict[str, dict[str, int]]]:
    checked = check(folder.config)
    profiles = {device.id: device.profile for device in checked.devices.values()}
    composer = composer_of(Topics("stethos", "line-3"), "boot", checked.machines)
    pipeline = pipeline_of({**profiles, CANARY: PROFILE}, checked.machines, composer)
    accel, drive = Encoder(profiles["accel"]), Encoder(profiles["drive"])
    commits = []
    for turn, chunks in enumerate(of_devices(accel, drive)):
        ours = Chunk(CANARY, msgspec.json.encode({"put_ns": turn}), chunks[0].arrived_ns)
        commits.append(pipeline.step([chunks[0], ours, *chunks[1:]] if with_canary else chunks))
        if with_canary and turn % 7 == 0:
            assert pipeline.step([ours]).empty
    return commits, {stage: balance.as_dict() for stage, balance in pipeline.report().flow.items()}


def test_the_same_bytes_give_the_same_alarms_with_samples_of_our_own_among_them(tmp_path: Path) -> None:
    folder = AgentFolder(tmp_path)
    bare, books = decided(folder, with_canary=False)
    mixed, mixed_books = decided(folder, with_canary=True)
    said = [message for commit in bare for message in commit.messages]
    assert any(b'"type":"new"' in message.payload for message in said), "there is an alarm to compare"
    assert [message for commit in mixed for message in commit.messages] == said
    assert [commit.state for commit in mixed] == [commit.state for commit in bare]
    assert [commit.journal for commit in mixed] == [commit.journal for commit in bare]
    assert mixed_books.pop("bytes")["in"] > books.pop("bytes")["in"]
    assert mixed_books == books


def test_every_book_balances_with_samples_of_our_own(tmp_path: Path) -> None:
    _, books = decided(AgentFolder(tmp_path), with_canary=True)
    for stage, flow in books.items():
        assert flow["in"] == flow["out"] + flow["held"] + flow["dropped"], stage
