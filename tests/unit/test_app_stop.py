"""A stop of the agent: bounded whatever hangs; what the disk did not take in time is handed over once more, and never passed over in silence."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from agent.app import App
from agent.clock import FakeClock
from agent.errors import OutboxError
from agent.pipeline.books import PipelineReport
from agent.pipeline_thread import PipelineThread
from agent.sources.buffer import ChunkBuffer
from agent.stopping import SHARES_S, Allowance
from agent.types import NANOSECONDS, Chunk, Commit, Kind, Message

ALARM = Commit((Message("a", Kind.ALARM, "t", b"alarm", 0),))
SUMMARY = Commit((Message("s", Kind.SUMMARY, "t", b"summary", 0),))
PROMISED_S = 10.0


def stopped(refusals: int) -> tuple[list[Commit], Commit | None]:
    """What the outbox took of an agent that stops while it holds an alarm, and what is left; the first submits fail."""
    taken: list[Commit] = []
    left = refusals

    def submit(commit: Commit, _timeout_s: float) -> None:
        nonlocal left
        left -= 1
        if left >= 0:
            raise OutboxError("the disk lags")
        taken.append(commit)

    report = PipelineReport({}, {}, {}, {}, {})
    thread = PipelineThread(
        SimpleNamespace(finish=lambda: SUMMARY, report=lambda: report),
        ChunkBuffer(1_000),
        canary=None,
        recorder=None,
        dispatcher=None,
        handover=None,
        submit=submit,
        clock=FakeClock(),
    )
    thread.undelivered = ALARM
    stop = threading.Event()
    stop.set()
    thread.run(stop)
    return taken, thread.undelivered


class LateReader:
    """A supervisor whose readers do not end in time, and put on behind the pipeline's back."""

    def __init__(self, buffer: ChunkBuffer) -> None:
        self._buffer = buffer

    def stop(self, names: list[str], _timeout_s: float) -> bool:
        self._buffer.put(Chunk("late", b"12345", 0))
        return "reader" not in names


class Hanging:
    """A supervisor, an outbox and a notifier of which every wait takes the whole time that it is given."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.waits_s: list[float] = []

    def stop(self, _names: list[str], timeout_s: float) -> bool:
        self.waits_s.append(timeout_s)
        self._clock.advance(round(timeout_s * NANOSECONDS))
        return False

    def drain(self, timeout_s: float) -> bool:
        return self.stop([], timeout_s)


def agent(supervisor: object, writer: object, buffer: ChunkBuffer, clock: FakeClock, **parts: object) -> App:
    app = App.__new__(App)
    app.__dict__.update(
        {
            "_clock": clock,
            "_thread": SimpleNamespace(name="pipeline", undelivered=None),
            "_buffer": buffer,
            "_sources": [SimpleNamespace(name="reader")],
            "_supervisor": supervisor,
            "_notifier": SimpleNamespace(stopping=lambda _status: None),
            "_writer": writer,
            "_vitals": SimpleNamespace(publish=lambda *, last: None),
            "_dispatcher": SimpleNamespace(close=lambda: None),
            "_responder": None,
            "_recorder": None,
            "_textfile": None,
            "_engines": SimpleNamespace(wanted=False),
            **parts,
        }
    )
    return app


def test_a_stop_in_which_everything_hangs_keeps_within_ten_seconds() -> None:
    clock = FakeClock()
    begun_ns = clock.monotonic_ns()
    hanging = Hanging(clock)
    with_all = {
        "_responder": SimpleNamespace(),
        "_recorder": SimpleNamespace(),
        "_textfile": SimpleNamespace(),
        "_engines": SimpleNamespace(wanted=True),
    }
    assert not agent(hanging, hanging, ChunkBuffer(1_000), clock, **with_all).stop()
    assert (
        clock.monotonic_ns() - begun_ns
    ) / NANOSECONDS <= PROMISED_S - 1  # the last health, and the process's own end
    assert hanging.waits_s == pytest.approx([0, *SHARES_S.values()])  # nobody waits for an engine


def test_what_a_step_of_the_stop_leaves_is_for_those_behind_it() -> None:
    clock = FakeClock()
    allowance = Allowance(clock)
    clock.advance(NANOSECONDS // 10)  # no reader took long
    assert allowance.left_s("pipeline") == pytest.approx(
        SHARES_S["bundles"] + SHARES_S["readers"] + SHARES_S["pipeline"] - 0.1
    )
    clock.advance(round(PROMISED_S * NANOSECONDS))
    assert allowance.left_s("outbox") == 0


def test_what_a_late_reader_brings_after_the_pipelines_end_is_dropped_before_the_last_health() -> None:
    buffer, told = ChunkBuffer(1_000), []
    vitals = SimpleNamespace(publish=lambda *, last: told.append((last, buffer.balance().as_dict())))
    writer = SimpleNamespace(drain=lambda _timeout_s: True)
    assert not agent(LateReader(buffer), writer, buffer, FakeClock(), _vitals=vitals).stop()
    assert told == [(True, {"in": 15, "out": 0, "held": 0, "dropped": 15})]
    assert buffer.balance().as_dict() == {"in": 25, "out": 0, "held": 0, "dropped": 25}


def test_a_commit_that_waited_for_the_disk_goes_before_the_last_one() -> None:
    assert stopped(0) == ([ALARM, SUMMARY], None)


@pytest.mark.parametrize("refusals", [1, 2])
def test_a_commit_that_the_disk_refuses_to_the_end_is_not_forgotten(refusals: int) -> None:
    assert stopped(refusals) == ([], ALARM)
