"""Replay: a recording through the very pipeline that the daemon runs, with the recorded times in place of the clock's."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import msgspec

from agent.assembly import composer_of, pipeline_of
from agent.config.partial import Models
from agent.decide.alarm import AlarmState
from agent.pipeline.pipeline import Pipeline
from agent.record.compare import Episode
from agent.record.reading import Step
from agent.types import NANOSECONDS, Chunk, Commit, Kind, Message
from agent.upstream.topics import Topics

# A longer pause, or a clock that was set forward, is not waited for.
_LONGEST_PAUSE_NS = 3_600 * NANOSECONDS
_GATHER_NS = NANOSECONDS
_GATHER_BYTES = 1024 * 1024


@dataclass(slots=True)
class Tally:
    """What a replay has been through. `recorded_ns` is the time that the recording took, without the pauses between its sessions."""

    samples: int = 0
    windows: int = 0
    unknown: int = 0
    alarms: int = 0  # raised
    unasked_chunks: int = 0  # of devices that the configuration does not have
    recorded_ns: int = 0
    took_s: float = 0.0

    @property
    def times_real(self) -> float:
        """How much faster than the recording was made."""
        return self.recorded_ns / NANOSECONDS / self.took_s if self.took_s else 0.0


class Replay:
    """One pass of a recording through the pipeline of `models`; `tally` grows as it goes."""

    def __init__(self, models: Models, speed: float | None = None) -> None:
        """`speed` 1 is that of the recording, None as fast as the machine allows."""
        composer = composer_of(Topics(models.base, models.agent), "replay", models.machines)
        self._begin: Callable[[], Pipeline] = lambda: pipeline_of(models.profiles, models.machines, composer)
        self._speed = speed
        self._started_s = 0.0
        self._snapshots: dict[str, bytes] = {}
        self.tally = Tally()

    def alarms(self, steps: Iterable[Step]) -> Iterator[Message]:
        """The alarm messages as the daemon publishes them, but for boot id and number.

        Where the recording's session changes, the daemon was started anew: so is the pipeline, and it takes up the alarms
        that stood, as the daemon does from its outbox.
        """
        self._started_s = time.perf_counter()
        for _, session in itertools.groupby(steps, key=lambda step: step.session):
            pipeline = self._begin()
            pipeline.restore(self._snapshots)
            for commit in self._run(pipeline, session):
                self._snapshots.update(commit.state)
                yield from (message for message in commit.messages if message.kind is Kind.ALARM)
            self._count(pipeline)
        self.tally.took_s = time.perf_counter() - self._started_s

    def _run(self, pipeline: Pipeline, session: Iterable[Step]) -> Iterator[Commit]:
        newest_ns: int | None = None
        for step in session:
            arrived_ns = step.chunks[-1].arrived_ns
            if newest_ns is not None:
                self.tally.recorded_ns += min(max(0, arrived_ns - newest_ns), _LONGEST_PAUSE_NS)
            newest_ns = arrived_ns
            self._wait()
            known = [chunk for chunk in step.chunks if chunk.device in pipeline.decoders]
            self.tally.unasked_chunks += len(step.chunks) - len(known)
            yield pipeline.step(known)

    def _wait(self) -> None:
        if self._speed is not None:
            due_s = self._started_s + self.tally.recorded_ns / NANOSECONDS / self._speed
            time.sleep(max(0.0, due_s - time.perf_counter()))

    def _count(self, pipeline: Pipeline) -> None:
        tally, report = self.tally, pipeline.report()
        tally.samples += sum(counters.get("samples", 0) for counters in report.device_counters.values())
        tally.windows += report.counters.get("windows", 0)
        tally.unknown += report.counters.get("windows_unknown", 0)
        tally.alarms += report.counters.get("alarms_new", 0)


def gathered(steps: Iterable[Step]) -> Iterator[Step]:
    """About a second's steps at once, which is many times faster; the last bits of scores follow how many windows share a run."""
    session, chunks, size_bytes = "", list[Chunk](), 0
    for step in steps:
        passed_ns = step.chunks[-1].arrived_ns - chunks[0].arrived_ns if chunks else 0
        if chunks and (step.session != session or not 0 <= passed_ns < _GATHER_NS or size_bytes > _GATHER_BYTES):
            yield Step(session, tuple(chunks))
            chunks, size_bytes = [], 0
        session = step.session
        chunks += step.chunks
        size_bytes += sum([len(chunk.data) for chunk in step.chunks])
    if chunks:
        yield Step(session, tuple(chunks))


class _AlarmBody(msgspec.Struct, frozen=True):
    after: AlarmState


def episodes(messages: Iterable[Message]) -> list[Episode]:
    """The deviations that these alarm messages tell of, in the order of their raising; an alarm raised again has several."""
    raised_ns: dict[tuple[str, int], int] = {}
    latest: dict[tuple[str, int], AlarmState] = {}
    for message in messages:
        alarm = msgspec.json.decode(message.payload, type=_AlarmBody).after
        occurrence = (alarm.id, alarm.occurrences)
        raised_ns.setdefault(occurrence, alarm.updated_ns)
        latest[occurrence] = alarm
    return [
        Episode(
            machine=alarm.machine,
            point=alarm.point,
            id=alarm.id if number == 1 else f"{alarm.id}/{number}",
            raised_ns=raised_ns[name, number],
            ended_ns=alarm.cleared_ns,
            peak_strangeness=alarm.peak.strangeness,
            channels=[each.channel for each in alarm.channels],
        )
        for (name, number), alarm in latest.items()
    ]
