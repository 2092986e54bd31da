"""A stop of the agent: what the disk did not take in time is handed over once more, and never passed over in silence."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from agent.app import App
from agent.errors import OutboxError
from agent.pipeline.books import PipelineReport
from agent.sources.buffer import ChunkBuffer
from agent.types import Chunk, Commit, Kind, Message

ALARM = Commit((Message("a", Kind.ALARM, "t", b"alarm", 0),))
SUMMARY = Commit((Message("s", Kind.SUMMARY, "t", b"summary", 0),))


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
    app = App.__new__(App)
    app.__dict__.update(
        _undelivered=ALARM,
        _buffer=ChunkBuffer(1_000),
        _writer=SimpleNamespace(submit=submit),
        _pipeline=SimpleNamespace(finish=lambda: SUMMARY, report=lambda: report),
    )
    stop = threading.Event()
    stop.set()
    app._run_pipeline(stop)
    return taken, app._undelivered


class LateReader:
    """A supervisor whose readers do not end in time, and put on behind the pipeline's back."""

    def __init__(self, buffer: ChunkBuffer) -> None:
        self._buffer = buffer

    def stop(self, names: list[str], _timeout_s: float) -> bool:
        self._buffer.put(Chunk("late", b"12345", 0))
        return "reader" not in names


def test_what_a_late_reader_brings_after_the_pipelines_end_is_dropped_before_the_last_health() -> None:
    buffer, told = ChunkBuffer(1_000), []
    app = App.__new__(App)
    app.__dict__.update(
        _undelivered=None,
        _buffer=buffer,
        _sources=[SimpleNamespace(name="reader")],
        _supervisor=LateReader(buffer),
        _notifier=SimpleNamespace(stopping=lambda _status: None),
        _writer=SimpleNamespace(drain=lambda _timeout_s: True),
        _vitals=SimpleNamespace(publish=lambda *, last: told.append((last, buffer.balance().as_dict()))),
        _dispatcher=SimpleNamespace(close=lambda: None),
        _responder=None,
        _recorder=None,
        _textfile=None,
        _engines=SimpleNamespace(wanted=False),
    )
    assert not app.stop()
    assert told == [(True, {"in": 15, "out": 0, "held": 0, "dropped": 15})]
    assert buffer.balance().as_dict() == {"in": 25, "out": 0, "held": 0, "dropped": 25}


def test_a_commit_that_waited_for_the_disk_goes_before_the_last_one() -> None:
    assert stopped(0) == ([ALARM, SUMMARY], None)


@pytest.mark.parametrize("refusals", [1, 2])
def test_a_commit_that_the_disk_refuses_to_the_end_is_not_forgotten(refusals: int) -> None:
    assert stopped(refusals) == ([], ALARM)
