"""Reads how every part of the running agent fares and puts it into health documents; tells the link when they change."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import onnxruntime as ort

import agent
from agent.canary import Canary, Stage
from agent.clock import Clock
from agent.config.checked import Checked, CheckedDevice, CheckedMachine
from agent.decide.support import support
from agent.decide.yardstick import Fit
from agent.decode.progress import DecodeProgress
from agent.exposition.families import families
from agent.exposition.text import render
from agent.exposition.textfile import Textfile
from agent.health import (
    AgentHealth,
    CalibrationHealth,
    DeviceHealth,
    MachineHealth,
    Reason,
    agent_health,
    canary_reasons,
    device_health,
    engine_reasons,
    fit_reasons,
    model_reasons,
    thread_reasons,
)
from agent.infer.engine_keeper import EngineKeeper
from agent.infer.model_health import ModelHealth, model_health
from agent.outbox.writer import OutboxWriter
from agent.pipeline.books import PipelineReport
from agent.pipeline.summaries import LINE_COUNTERS
from agent.record.recorder import Recorder
from agent.rollout.configuration import Configuration
from agent.rollout.fleet import Fleet
from agent.rollout.rollout import Rollout
from agent.sensors.faults import State
from agent.sources.buffer import ChunkBuffer, Dropped
from agent.sources.link import Source
from agent.supervise import Supervisor
from agent.types import NANOSECONDS
from agent.upstream.compose import Composer
from agent.upstream.link import Link


@dataclass(frozen=True, slots=True)
class Parts:
    """What a running agent consists of; `source_of` says which source reads a device."""

    checked: Checked
    buffer: ChunkBuffer
    canary: Canary
    source_of: Mapping[str, Source]
    writer: OutboxWriter
    link: Link
    supervisor: Supervisor
    composer: Composer
    recorder: Recorder | None
    textfile: Textfile | None
    engines: EngineKeeper
    fleet: Fleet
    rollout: Rollout
    configuration: Configuration
    latest_report: Callable[[], PipelineReport]
    command_counters: Callable[[], Mapping[str, int]]
    response_counters: Callable[[], Mapping[str, int]]
    bundle_counters: Callable[[], Mapping[str, int]]


class Vitals:
    """Owned by the main thread: `publish` is called every second or so, and says what is news."""

    def __init__(self, parts: Parts, clock: Clock) -> None:
        self._parts = parts
        self._clock = clock
        self._started_ns = clock.monotonic_ns()
        self._due_ns = self._started_ns
        self._report = parts.latest_report()
        self._progress = {device: DecodeProgress() for device in parts.checked.devices}
        self._calibrations: dict[str, tuple[CheckedMachine, CalibrationHealth]] = {}
        self._told: dict[str, tuple[object, ...]] = {}
        self.latest: AgentHealth | None = None  # as last published

    def stuck(self) -> list[str]:
        """Threads without a sign of life for longer than they may, and where no sample gets through; while there are any, systemd's watchdog is not fed."""
        named = list(self._parts.supervisor.stuck())
        stage = self._canary_stuck()
        return named if stage is None or stage in named else [*named, stage]

    def _canary_stuck(self) -> Stage | None:
        status = self._parts.writer.status
        return self._parts.canary.stuck(waits_for_disk=status is not None and status.disk_error is not None)

    def publish(self, *, last: bool = False) -> AgentHealth:
        """Publish what changed its state or its reasons' places, and everything once in every health period and at the `last`."""
        due = last or self._clock.monotonic_ns() >= self._due_ns
        if due:
            self._due_ns = self._clock.monotonic_ns() + self._parts.checked.health_every_ns
        self._report = self._parts.latest_report()
        composer, link = self._parts.composer, self._parts.link
        dropped, devices = self._parts.buffer.dropped(), {}
        for device in self._parts.checked.devices.values():
            health = devices[device.id] = self._device(device, dropped.get(device.id))
            faults = [channel.faults for channel in health.channels.values()]
            if self._is_news(device.id, health.state, health.reasons, *faults) or due:
                link.retain(composer.device_health(device.id, health, self._clock.now_ns()))
        own = self._agent()
        if self._is_news("", own.state, own.reasons) or due:
            link.retain(composer.health(own, self._clock.now_ns()))
        self.latest = own
        if due and self._parts.textfile is not None:
            self._parts.textfile.offer(render(families(self._parts.checked.config.agent.id, own, devices)))
        return own

    def _is_news(self, name: str, state: State, reasons: Sequence[Reason], *more: object) -> bool:
        """Reasons are compared by state and place: their words may hold numbers that change at every look."""
        news = (state, *((reason.state, reason.where) for reason in reasons), *more)
        known = self._told.get(name)
        self._told[name] = news
        return news != known

    def _device(self, device: CheckedDevice, dropped: Dropped | None) -> DeviceHealth:
        source = self._parts.source_of[device.id]
        arrival_ns = source.status.last_arrival_ns.get(device.id)
        sensors = self._report.sensors[device.id]
        counters = self._report.device_counters[device.id]
        now_ns, silent_after_ns = self._clock.monotonic_ns(), round(device.profile.silent_after_s * NANOSECONDS)
        silent_ns = None if arrival_ns is None else now_ns - arrival_ns
        talks = silent_ns is not None and silent_ns <= silent_after_ns
        return device_health(
            device.id,
            link_failure=source.status.failure(device.id),
            silent_ns=silent_ns,
            silent_after_ns=silent_after_ns,
            undecoded_ns=self._progress[device.id].look(now_ns, counters, talks=talks),
            faults=sensors.faults,
            channels=dict(zip(device.profile.channel_names, sensors.channels, strict=True)),
            actions={channel.name: channel.action or device.profile.action for channel in device.profile.channel}
            | {"": device.profile.action},
            link={
                **dict.fromkeys(LINE_COUNTERS, 0),
                **counters,
                **source.status.counts(device.id),
                "opened": source.status.opened,
                "reopens": max(0, source.status.opened - 1),
                "fault_changes": sensors.changes,
                "drift_ppm": None,  # not known yet, or never
                **self._report.gauges[device.id],
                "bytes_dropped": dropped.bytes if dropped else 0,
            },
        )

    def _agent(self) -> AgentHealth:
        parts = self._parts
        status = parts.writer.status
        flow = {"buffer": parts.buffer.balance(), **self._report.flow}
        if status is not None:
            flow["outbox"] = status.balance
        if parts.recorder is not None:
            flow["record"] = parts.recorder.balance()
        sessions = [machine.session for machine in parts.fleet.machines.values()]
        return agent_health(
            reasons=[
                *self._thread_reasons(),
                *self._model_reasons(),
                *parts.rollout.status.reasons,
                *parts.configuration.reasons,
                *self._outbox_reasons(),
                *self._record_reasons(),
                *self._metrics_reasons(),
                *self._link_reasons(),
            ],
            versions={
                "stethos": agent.__version__,
                "python": platform.python_version(),
                "onnxruntime": ort.__version__,
            },
            provider=", ".join(sorted({session.provider for session in sessions})) or None,
            uptime_ns=self._clock.monotonic_ns() - self._started_ns,
            flow=flow,
            counters={
                **self._report.counters,
                **_prefixed("link", parts.link.counters.snapshot()),
                **_prefixed("commands", parts.command_counters()),
                **_prefixed("responses", parts.response_counters()),
                **_prefixed("bundles", parts.bundle_counters()),
                **_prefixed("engines", parts.engines.counters.snapshot()),
                **_prefixed("metrics", {} if parts.textfile is None else parts.textfile.counters.snapshot()),
            },
            alarms=self._report.alarms,
            machines={name: self._machine(name, fit) for name, fit in self._report.fits.items()},
            bundles=parts.rollout.status.bundles,
            journal=None if status is None else status.journal,
        )

    def _thread_reasons(self) -> Iterator[Reason]:
        found = thread_reasons(self._parts.supervisor.report())
        yield from found
        stage = self._canary_stuck()
        if stage not in {reason.where for reason in found}:
            yield from canary_reasons(stage)

    def _model_reasons(self) -> Iterator[Reason]:
        for machine in self._parts.fleet.machines.values():
            yield from model_reasons(machine.id, _model(machine))
            if machine.refused is not None:
                what = f"it was commissioned, and that is not used: {machine.refused}"
                remedy = f"run `stethos commission {machine.id}`, or remove what it learnt with --remove"
                yield Reason(State.MAINTENANCE_REQUIRED, f"machine {machine.id}", what, remedy)
        for name, fit in self._report.fits.items():
            yield from fit_reasons(name, fit)
        for name, engine in self._parts.engines.states.items():
            yield from engine_reasons(name, engine)

    def _machine(self, name: str, fit: Fit) -> MachineHealth:
        engine, machine = self._parts.engines.states.get(name), self._parts.fleet.machines[name]
        known = self._calibrations.get(name)
        if known is None or known[0] is not machine:  # another bundle watches it
            known = self._calibrations[name] = (machine, _calibration(machine))
        return MachineHealth(**msgspec.structs.asdict(fit), calibration=known[1], model=_model(machine), engine=engine)

    def _outbox_reasons(self) -> Iterator[Reason]:
        status = self._parts.writer.status
        if status is None:
            return
        if status.disk_error is not None:
            yield Reason(State.FAILURE, "outbox", status.disk_error, "free space on the disk, or mend it")
        if status.recovered is not None:
            what = f"was damaged ({status.recovered.reason}) and started anew, {status.recovered.saved} messages were saved"
            remedy = f"look at {status.recovered.moved_to}, then at the disk"
            yield Reason(State.MAINTENANCE_REQUIRED, "outbox", what, remedy)
        for topic, reason in status.refused.items():
            yield _refused(topic, reason)

    def _record_reasons(self) -> Iterator[Reason]:
        recorder = self._parts.recorder
        if recorder is not None and recorder.error is not None:
            yield Reason(State.MAINTENANCE_REQUIRED, "record", recorder.error, "free space on the disk, or mend it")

    def _metrics_reasons(self) -> Iterator[Reason]:
        textfile = self._parts.textfile
        if textfile is not None and textfile.error is not None:
            remedy = "let the agent's user write there, or mend the disk"
            yield Reason(State.MAINTENANCE_REQUIRED, "metrics", textfile.error, remedy)

    def _link_reasons(self) -> Iterator[Reason]:
        status, upstream = self._parts.link.status, self._parts.checked.upstream
        if not status.connected:
            what = f"the broker is not reached: {status.last_error or 'not tried yet'}"
            yield Reason(
                State.OUT_OF_SPECIFICATION, "upstream", what, "alarms wait on disk; check network, broker and login"
            )
        if not upstream.broker.tls and not upstream.broker.loopback:
            yield Reason(State.MAINTENANCE_REQUIRED, "upstream", "the connection is not encrypted", "use mqtts://")
        for topic, reason in status.refused.items():
            yield _refused(topic, reason)


def _model(machine: CheckedMachine) -> ModelHealth:
    promise = machine.bundle.manifest.promise
    return model_health(machine.session, None if promise is None else promise.batch_1_ms)


def _calibration(machine: CheckedMachine) -> CalibrationHealth:
    told, learnt = support(machine.calibration, machine.false_alarms_per_hour), machine.commissioned
    return CalibrationHealth(
        basis="bundle" if learnt is None else "commissioned",
        hours=told.hours,
        factor=told.factor,
        more_hours=told.more_hours,
        by=None if learnt is None else learnt.what.by,
        created=None if learnt is None else learnt.what.created,
        sha256=None if learnt is None else learnt.sha256,
    )


def _refused(topic: str, reason: str) -> Reason:
    return Reason(
        State.OUT_OF_SPECIFICATION, topic, f"refused by the broker: {reason}", "mend the broker's access list or limits"
    )


def _prefixed(prefix: str, counters: Mapping[str, int]) -> dict[str, int]:
    return {f"{prefix}_{name}": value for name, value in counters.items()}
