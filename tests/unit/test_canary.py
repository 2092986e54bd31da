"""The canary shows that samples flow, names the stage that holds them up, and blames nobody for a full disk or an overload."""

from __future__ import annotations

import threading

import pytest

from agent.canary import PROFILE, Canary, late_ns
from agent.clock import FakeClock
from agent.decode.decoder import Decoder
from agent.metrics import Balance
from agent.sources.buffer import ChunkBuffer
from agent.types import CANARY, NANOSECONDS, Chunk, Commit

LATE_NS = 30 * NANOSECONDS
TICK_NS = NANOSECONDS // 1_000


class Road:
    """A canary, and the stages that it goes through, step by step."""

    def __init__(self, max_bytes: int = 10_000) -> None:
        self.clock = FakeClock()
        self.buffer = ChunkBuffer(max_bytes)
        self.canary = Canary(self.buffer, LATE_NS, self.clock)

    def put(self) -> None:
        self.clock.advance(TICK_NS)
        stop = threading.Event()
        stop.wait = lambda _s: stop.set()  # one turn of the source
        self.canary.run(stop)

    def take(self) -> list[Chunk]:
        return self.canary.taken(self.buffer.take(0))

    def decide(self, commit: Commit | None = None) -> Commit:
        return self.canary.decided(commit or Commit())

    def stuck_later(self, *, waits_for_disk: bool = False) -> str | None:
        self.clock.advance(LATE_NS + 2 * TICK_NS)
        return self.canary.stuck(waits_for_disk=waits_for_disk)


def arrive(commit: Commit) -> None:
    for answer in commit.answers:
        answer()


def test_a_sample_that_arrives_keeps_the_agent_well_until_it_is_stale() -> None:
    road = Road()
    road.put()
    assert road.take() == []
    arrive(road.decide())
    road.clock.advance(LATE_NS)
    assert road.canary.stuck(waits_for_disk=False) is None
    road.clock.advance(2 * TICK_NS)
    assert road.canary.stuck(waits_for_disk=False) == "canary"


def test_where_the_sample_stays_is_named() -> None:
    road = Road()
    assert road.stuck_later() == "canary", "its own thread puts none"
    road.put()
    assert road.stuck_later() == "buffer", "the pipeline takes none"
    road.take()
    assert road.stuck_later() == "pipeline", "its step does not end"
    commit = road.decide()
    assert road.stuck_later() == "outbox", "it was handed over and no answer came"
    arrive(commit)
    road.put()
    road.take()
    arrive(road.decide())
    assert road.canary.stuck(waits_for_disk=False) is None, "and it heals by itself"


def test_a_step_with_nothing_of_ours_that_does_not_end_is_the_pipelines() -> None:
    road = Road()
    road.buffer.put(Chunk("accel", b"1", 0))
    assert [chunk.device for chunk in road.take()] == ["accel"]
    road.put()
    assert road.stuck_later() == "pipeline"


def test_a_commit_keeps_its_own_answers_and_an_old_sample_is_not_answered_twice() -> None:
    road, told = Road(), []
    road.put()
    road.take()
    commit = road.decide(Commit(journal=(b"{}",), answers=(lambda: told.append(1),)))
    assert (len(commit.answers), commit.journal) == (2, (b"{}",))
    arrive(commit)
    assert told == [1]
    road.buffer.put(Chunk("accel", b"1", 0))
    road.take()
    assert road.decide().empty


def test_a_disk_that_takes_nothing_is_no_reason_and_the_time_counts_from_its_end() -> None:
    road = Road()
    road.put()
    road.take()
    commit = road.decide()
    assert road.stuck_later(waits_for_disk=True) is None
    assert road.stuck_later(waits_for_disk=True) is None
    road.clock.advance(LATE_NS)
    assert road.canary.stuck(waits_for_disk=False) is None
    road.clock.advance(TICK_NS)
    assert road.canary.stuck(waits_for_disk=False) == "outbox"
    arrive(commit)


def test_samples_that_an_overloaded_buffer_drops_are_no_reason() -> None:
    road = Road(max_bytes=40)
    road.put()
    road.buffer.put(Chunk("accel", bytes(40), 0))
    assert road.stuck_later() is None
    assert road.buffer.dropped()[CANARY].chunks == 1


def test_its_bytes_are_in_the_books() -> None:
    road = Road()
    road.put()
    entered = road.buffer.balance().entered
    assert entered > 0
    assert road.buffer.balance() == Balance(entered, 0, entered, 0)
    chunks = road.buffer.take(0)
    assert road.buffer.balance() == Balance(entered, entered, 0, 0)
    decoder = Decoder(PROFILE, CANARY)
    batch = decoder.feed(chunks)
    assert batch is not None
    assert len(batch) == 1
    assert decoder.balance() == Balance(entered, entered, 0, 0)


@pytest.mark.parametrize("deadline_s", [0, 10, 600])
def test_a_model_may_take_its_deadline(deadline_s: int) -> None:
    assert late_ns(deadline_s * NANOSECONDS) == (30 + deadline_s) * NANOSECONDS
