"""The pipeline as one object: chunks of bytes in, what must be said upstream out; decode, window, infer, decide in a row.

It reads no clock and does no I/O but through the scorer, so that the same bytes give the same alarms, live or replayed.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import msgspec
import numpy as np

from agent.decide.alarm import MODEL, Act, AlarmEvent, Change
from agent.decide.annunciator import Annunciator, Stillness
from agent.decide.day import Day
from agent.decide.explanation import Explainer
from agent.decide.isa18 import Action
from agent.decide.journal import entry
from agent.decide.kpi import Load
from agent.decide.lasting import Likelihood
from agent.decide.machine_alarms import MachineAlarms
from agent.decide.summary import Summary, SummaryReport
from agent.decide.yardstick import Fit, Yardstick, cautious
from agent.decode.decoder import Decoder
from agent.decode.timebase_host import HostTime
from agent.errors import InferenceError
from agent.infer.scorer import Scorer
from agent.metrics import Balance, Counters
from agent.sensors.watch import Sensors, SensorWatch
from agent.types import (
    CANARY,
    NANOSECONDS,
    Batch,
    Chunk,
    Command,
    Commit,
    Float32Array,
    Message,
    Retained,
    TimeQuality,
    Verdict,
    Window,
)
from agent.upstream.compose import Composer
from agent.upstream.documents import BundleReference
from agent.window.aligner import Aligner
from agent.window.contract import Contract

log = logging.getLogger(__name__)

# What a device's line went through, told in health and in summaries even where it is nothing.
LINE_COUNTERS = ("bytes", "frames", "checksum_errors", "decode_errors", "resync_bytes", "lost", "repeated")
# Bounds the memory of one model run when a backlog arrives at once: 256 windows of 8 x 256 samples are 2 MiB.
MAX_WINDOWS_PER_RUN = 256
_LOAD_STATE = "alarm-load"


@dataclass(frozen=True, slots=True)
class Model:
    """What of a machine's stages comes with its bundle; the alarms are in their first state."""

    machine: str
    bundle: BundleReference
    contract: Contract
    scorer: Scorer
    yardstick: Yardstick
    explainer: Explainer
    alarms: MachineAlarms


@dataclass(slots=True)
class Machine:
    """One machine's stages, from its grid to its alarm; machines with the same scorer have the same bundle."""

    id: str
    devices: Sequence[str]
    aligner: Aligner
    scorer: Scorer
    yardstick: Yardstick
    explainer: Explainer
    alarms: MachineAlarms
    summary: Summary
    day: Day | None = None  # where an interval is shorter than one
    group: str | None = None  # machines whose alarms tend to follow from each other
    newest_ns: int = 0  # end of its latest window
    time_quality: TimeQuality = TimeQuality.ARRIVAL
    lines: dict[str, dict[str, int]] = field(default_factory=dict)  # its devices' counts at the latest summary

    def exchange(self, model: Model) -> None:
        """Be watched by another model from the next window on; raises ValueError, and changes nothing, where it is of other channels or another rate."""
        self.aligner.recut(model.contract)
        self.scorer, self.yardstick, self.explainer = model.scorer, model.yardstick, model.explainer
        self.alarms = model.alarms

    def judge(self, verdict: Verdict, likelihood: Likelihood) -> list[Change]:
        """Take one verdict through the alarms' life cycles."""
        self.newest_ns, self.time_quality = verdict.window.end_ns, verdict.window.time_quality
        self.summary.add_verdict(verdict)
        status = self.alarms.points[MODEL].status
        if verdict.unknown is None and not (status.active or status.overridden):
            self.yardstick.look(verdict)
        changes = self.alarms.judge(verdict, likelihood, lambda: self.explainer.model(verdict))
        if verdict.unknown is None and self.yardstick.adaptation is not None:
            self.yardstick.learn(verdict, alarmed=bool(self.alarms.standing))
        return changes


@dataclass(frozen=True, slots=True)
class PipelineReport:
    """A consistent picture of the pipeline: what became of every byte, frame, sample and window, each device's counts and its sensors."""

    flow: Mapping[str, Balance]
    counters: Mapping[str, int]
    device_counters: Mapping[str, Mapping[str, int]]
    sensors: Mapping[str, Sensors]
    gauges: Mapping[str, Mapping[str, float]]  # of each device's clock, where they are known
    alarms: Load | None = None
    fits: Mapping[str, Fit] = field(default_factory=dict)  # by machine


@dataclass(slots=True)
class _Draft:
    """What one step has decided so far."""

    messages: list[Message] = field(default_factory=list)
    journal: list[bytes] = field(default_factory=list)
    events: list[AlarmEvent] = field(default_factory=list)
    changed: dict[str, Machine] = field(default_factory=dict)
    load_changed: bool = False
    looked_at: set[str] = field(default_factory=set)  # machines whose fit must be kept
    days: dict[str, Day] = field(default_factory=dict)  # by machine, those that must be kept


class Pipeline:
    """Owned by one thread; `step` is the whole of its work.

    Event times of machines whose devices all have a UTC clock are taken as they are. Those of other machines lie on the host's line
    (`HostTime`) up to the window stage and are UTC behind it, so that a step of the host's clock tears no window.

    counters: windows = windows_scored + windows_unknown; alarms (events by type), inference_errors, snapshots_refused, clock_steps, exchanges;
    failed_steps, and what they had in hand: failed_bytes, failed_frames, failed_samples, failed_windows.
    """

    def __init__(
        self,
        decoders: Mapping[str, Decoder],
        watches: Mapping[str, SensorWatch],
        machines: Sequence[Machine],
        composer: Composer,
        tell: Mapping[str, Callable[[Command], None]] | None = None,
    ) -> None:
        """Every device has a decoder and a watch over its sensors; `tell` sends a command to a device that may be told something."""
        self.decoders = decoders
        self.watches = watches
        self.machines = {machine.id: machine for machine in machines}
        self.counters = Counters()
        self._composer = composer
        # Told every event once it is durable; to be set before the first step.
        self.respond: Callable[[AlarmEvent], None] | None = None
        # Shown every window that was judged, with what came of it; must be quick. To be set before the first step.
        self.watch: Callable[[Machine, Verdict, Likelihood, Sequence[Change]], None] | None = None
        self._tell = dict(tell or {})
        self._taken_bytes = 0
        self._host = HostTime()
        self._on_line = {
            machine.id: any(decoders[device].time_quality is not TimeQuality.DEVICE for device in machine.devices)
            for machine in machines
        }
        self._fed_by: defaultdict[str, list[Machine]] = defaultdict(list)
        self._annunciator = Annunciator()
        self._stillness = Stillness()
        self._lift_due = False
        for machine in machines:
            machine.alarms.join(self._annunciator, machine.id, machine.group)
            for device in machine.devices:
                self._fed_by[device].append(machine)

    def step(self, chunks: Sequence[Chunk]) -> Commit:
        """Take `chunks` through every stage; returns what must be durable before any of it is announced.

        Whatever breaks it is raised, and what it had in hand is dropped and counted, so that the next step starts with sound books.
        """
        self._taken_bytes += sum([len(chunk.data) for chunk in chunks])
        try:
            return self.advance(self._decode(chunks))
        except Exception:
            self._write_off()
            raise

    def advance(self, batches: Iterable[Batch]) -> Commit:
        """The stages behind decode: window, infer, decide."""
        draft = _Draft()
        for machine, verdict, likelihood in self._judged(self._windows(batches)):
            self._let_flood_pass(draft, self._flood_over(verdict.window.end_ns))
            changes = machine.judge(verdict, likelihood)
            self._take(draft, machine, changes)
            if self.watch is not None:
                self.watch(machine, verdict, likelihood, changes)
            report = machine.summary.close_before(verdict.window.end_ns)
            if report is not None:
                self._summarise(draft, machine, report)
        return self._commit(draft)

    def windows(self, chunks: Sequence[Chunk]) -> list[tuple[str, Window]]:
        """Decode and window alone, by machine: what commissioning learns from."""
        return [(machine.id, window) for machine, window in self._windows(self._decode(chunks))]

    @property
    def alarms(self) -> Mapping[str, MachineAlarms]:
        """By machine."""
        return {name: machine.alarms for name, machine in self.machines.items()}

    def act(self, name: str, point: str, action: Action, act: Act, alarm: str | None = None) -> Commit:
        """An operator's act on a point of the machine `name`; raises isa18.RefusedError, and changes nothing, where it makes no sense."""
        machine, draft = self.machines[name], _Draft()
        self._take(draft, machine, [machine.alarms.act(point, action, act, alarm)])
        return self._commit(draft)

    def expire(self, now_ns: int) -> Commit:
        """End the shelvings whose time is over, and a flood where no samples come; `now_ns` is the host's time."""
        draft = _Draft()
        for machine in self.machines.values():
            self._take(draft, machine, machine.alarms.expire(now_ns))
        event_ns = self._stillness.event_time(self._annunciator.load.now_ns, now_ns)
        self._let_flood_pass(draft, self._annunciator.load.end_flood(event_ns))
        return self._commit(draft)

    def exchange(self, models: Sequence[Model]) -> Commit:
        """Between two steps: these models, of one bundle, watch their machines from now on. Samples, standing alarms and books go on.

        Raises ValueError, and changes nothing, where they are of other channels or another rate than those before.
        """
        draft = _Draft()
        for model in models:
            machine = self.machines[model.machine]
            before, state = machine.alarms, self._state(machine)
            machine.exchange(model)
            self._annunciator.part(machine.id, before)
            machine.alarms.join(self._annunciator, machine.id, machine.group)
            self._composer.judged_by(machine.id, model.bundle)
            self._take_up(machine, state)
            draft.changed[machine.id] = machine
            draft.looked_at.add(machine.id)
        self._lift_due = True
        self.counters.add("exchanges")
        return self._commit(draft)

    def _flood_over(self, t_ns: int) -> int | None:
        """When a flood was over that is by `t_ns`, before the last stop perhaps; all machines' event times count, so that a silent one holds nothing back."""
        load = self._annunciator.load
        over_ns = load.move(t_ns)
        left_over, self._lift_due = self._lift_due and not load.flood, False
        return t_ns if over_ns is None and left_over else over_ns

    def _let_flood_pass(self, draft: _Draft, over_ns: int | None) -> None:
        """Announce what waited for the flood that was over at `over_ns`."""
        if over_ns is not None:
            draft.load_changed = True
            for machine in self.machines.values():
                self._take(draft, machine, machine.alarms.lift_flood(over_ns))

    def _take(self, draft: _Draft, machine: Machine, changes: Iterable[Change]) -> None:
        for change in changes:
            draft.changed[machine.id] = machine
            draft.looked_at.add(machine.id)
            machine.yardstick.take(change)
            draft.journal += [entry("transition", transition) for transition in change.transitions]
            draft.load_changed |= any(transition.action is Action.RAISE for transition in change.transitions)
            if change.event is not None:
                self.counters.add(f"alarms_{change.event.type}")
                draft.events.append(change.event)
                draft.messages.append(self._composer.alarm(change.event, machine.time_quality))
                if change.event.type == "new":
                    machine.summary.add_alarm()

    def _commit(self, draft: _Draft) -> Commit:
        state = {_snapshot_name(name): machine.alarms.snapshot() for name, machine in draft.changed.items()}
        state |= {_fit_name(name): self.machines[name].yardstick.snapshot() for name in draft.looked_at}
        state |= {_day_name(name): day.snapshot() for name, day in draft.days.items()}
        if draft.load_changed:
            state[_LOAD_STATE] = self._annunciator.load.snapshot()
        retained = tuple(self.standing(name) for name in draft.changed)
        answers = () if self.respond is None else tuple(partial(self.respond, event) for event in draft.events)
        return Commit(tuple(draft.messages), state, retained, tuple(draft.journal), answers)

    def finish(self) -> Commit:
        """The summaries of intervals that a stop cuts short."""
        draft = _Draft()
        for machine in self.machines.values():
            report = machine.summary.close(machine.newest_ns) if machine.newest_ns else None
            if report is not None:
                self._summarise(draft, machine, report)
            if machine.day is not None:
                draft.days[machine.id] = machine.day
        return self._commit(draft)

    def _summarise(self, draft: _Draft, machine: Machine, report: SummaryReport) -> None:
        whole = self._whole(machine, report)
        days = [] if machine.day is None else machine.day.take(whole, machine.summary.latest)
        draft.messages += [self._composer.summary(each, machine.time_quality) for each in (whole, *days)]
        draft.looked_at.add(machine.id)
        if machine.day is not None and (days or machine.day.is_due()):
            draft.days[machine.id] = machine.day

    def _whole(self, machine: Machine, report: SummaryReport) -> SummaryReport:
        """The report, with what its devices' lines went through since the one before."""
        counted = {
            device: {name: self.decoders[device].counters[name] for name in LINE_COUNTERS} for device in machine.devices
        }
        lines = {
            device: {name: count - machine.lines.get(device, {}).get(name, 0) for name, count in counts.items()}
            for device, counts in counted.items()
        }
        machine.lines = counted
        alarms = self._annunciator.load.report(machine.alarms.standing, machine.id)
        yardstick = machine.yardstick
        return msgspec.structs.replace(
            report,
            lines=lines,
            alarms=alarms,
            states=yardstick.hours_by_state(),
            false_alarms=yardstick.false_alarms.report(),
        )

    def standing(self, name: str) -> Retained:
        """The alarms of a machine that stand now, as its retained topic says them."""
        machine = self.machines[name]
        standing = machine.alarms.standing
        time_ns = max([machine.newest_ns, *(alarm.updated_ns for alarm in standing)])
        return self._composer.standing(name, standing, machine.alarms.hidden, time_ns, machine.time_quality)

    def restore(self, state: Mapping[str, bytes]) -> None:
        """Take up the alarms that stood when the agent last stopped; a snapshot that cannot be read is reported."""
        for name, machine in self.machines.items():
            self._take_up(machine, state)
            if machine.day is not None:
                self._restored(state, _day_name(name), machine.day.restore, f"machine {name} begins its day anew")
        self._lift_due = True
        self._restored(state, _LOAD_STATE, self._annunciator.load.restore, "the count of alarms starts anew")

    def _restored(
        self, state: Mapping[str, bytes], name: str, restore: Callable[[bytes], None], otherwise: str
    ) -> None:
        try:
            if name in state:
                restore(state[name])
        except ValueError as error:
            self.counters.add("snapshots_refused")
            log.error("%s: %s", otherwise, error)

    def _state(self, machine: Machine) -> dict[str, bytes]:
        """What of a machine outlives a restart, and an exchange of its model."""
        return {
            _snapshot_name(machine.id): machine.alarms.snapshot(),
            _fit_name(machine.id): machine.yardstick.snapshot(),
        }

    def _take_up(self, machine: Machine, state: Mapping[str, bytes]) -> None:
        name = _snapshot_name(machine.id)
        for problem in machine.alarms.restore(state[name]) if name in state else ():
            self.counters.add("snapshots_refused")
            log.error("machine %s starts without part of its earlier alarm state: %s", machine.id, problem)
        otherwise = f"machine {machine.id} counts its false alarms anew"
        self._restored(state, _fit_name(machine.id), machine.yardstick.restore, otherwise)

    def report(self) -> PipelineReport:
        """How the stages stand between two steps; for the owning thread to call, and for others to read."""
        return PipelineReport(
            flow=self._flow(),
            counters=self.counters.snapshot(),
            device_counters={name: decoder.counters.snapshot() for name, decoder in self.decoders.items()},
            sensors={name: watch.report() for name, watch in self.watches.items()},
            gauges={name: self._gauges(decoder) for name, decoder in self.decoders.items()},
            alarms=self._annunciator.load.report(
                alarm for machine in self.machines.values() for alarm in machine.alarms.standing
            ),
            fits={name: machine.yardstick.fit for name, machine in self.machines.items()},
        )

    def _flow(self) -> dict[str, Balance]:
        """Each stage's books, with what failed steps had in hand among the dropped."""
        read = _total(decoder.balance() for decoder in self.decoders.values())
        stages = {
            # All that was taken has entered, though a step that failed may never have shown it to a decoder.
            "bytes": replace(read, entered=self._taken_bytes),
            # Of devices: the agent's own samples are bytes that it took, and nothing that anybody measured.
            "frames": _total(decoder.frame_balance() for name, decoder in self.decoders.items() if name != CANARY),
            "samples": _total(machine.aligner.balance() for machine in self.machines.values()),
            "windows": Balance(
                self.counters["windows"], self.counters["windows_scored"], 0, self.counters["windows_unknown"]
            ),
        }
        return {
            stage: replace(books, dropped=books.dropped + self.counters[f"failed_{stage}"])
            for stage, books in stages.items()
        }

    def _write_off(self) -> None:
        self.counters.add("failed_steps")
        for stage, books in self._flow().items():
            self.counters.add(f"failed_{stage}", books.missing)

    def _gauges(self, decoder: Decoder) -> dict[str, float]:
        """The decoder's, with a device's own clock held against the host's as that is set now."""
        gauges = decoder.gauges()
        if "clock_offset_ms" in gauges:
            gauges["clock_offset_ms"] -= self._host.lead_ns / 1e6
        return gauges

    def _decode(self, chunks: Sequence[Chunk]) -> Iterator[Batch]:
        steps = self._host.steps
        for part in self._host.on_line(chunks):
            if self._host.steps > steps:
                log.warning("the host's clock was set: event times are now %+.1f s", self._host.lead_ns / NANOSECONDS)
                self.counters.add("clock_steps", self._host.steps - steps)
                steps = self._host.steps
            yield from self._decode_part(part)

    def _decode_part(self, chunks: Sequence[Chunk]) -> Iterator[Batch]:
        by_device: defaultdict[str, list[Chunk]] = defaultdict(list)
        for chunk in chunks:
            by_device[chunk.device].append(chunk)
        for device, of_device in by_device.items():
            decoder, watch = self.decoders[device], self.watches[device]
            batch = decoder.feed(of_device)
            watch.line.look(decoder.counters, decoder.drift_ppm, of_device[-1].arrived_ns)
            if decoder.commands:
                self._pass_on(device, decoder.commands)
            if batch is not None:
                yield watch.inspect(batch)

    def _pass_on(self, device: str, commands: deque[Command]) -> None:
        tell = self._tell.get(device)
        while commands:
            command = commands.popleft()
            if tell is not None:
                tell(command)

    def _windows(self, batches: Iterable[Batch]) -> list[tuple[Machine, Window]]:
        windows: list[tuple[Machine, Window]] = []
        for batch in batches:
            for machine in self._fed_by[batch.device]:
                machine.summary.add_samples(self._host.utc_batch(batch))
                if self._on_line[machine.id]:
                    cut = machine.aligner.add(self._host.line_batch(batch))
                    windows += [(machine, self._host.utc_window(window)) for window in cut]
                else:
                    windows += [(machine, window) for window in machine.aligner.add(self._host.utc_batch(batch))]
        self.counters.add("windows", len(windows))
        return windows

    def _judged(self, windows: Iterable[tuple[Machine, Window]]) -> Iterator[tuple[Machine, Verdict, Likelihood]]:
        """Windows of all machines that share a model go through it together; verdicts come back in their order."""
        by_scorer: defaultdict[int, list[tuple[Machine, Window]]] = defaultdict(list)
        for machine, window in windows:
            by_scorer[id(machine.scorer)].append((machine, window))
        for group in by_scorer.values():
            scorer = group[0][0].scorer
            for start in range(0, len(group), MAX_WINDOWS_PER_RUN):
                part = group[start : start + MAX_WINDOWS_PER_RUN]
                verdicts = self._score(scorer, part)
                likely = _likelihoods([machine for machine, _ in part], verdicts)
                for (machine, _), verdict, likelihood in zip(part, verdicts, likely, strict=True):
                    yield machine, verdict, likelihood

    def _score(self, scorer: Scorer, windows: Sequence[tuple[Machine, Window]]) -> list[Verdict]:
        known = [machine.yardstick.model_input(window.values) for machine, window in windows if window.unknown is None]
        scores: Iterator[tuple[float, Float32Array]] = iter(())
        failure = None
        if known:
            try:
                score, channel_score = scorer.score(np.stack(known))
                scores = zip(score.tolist(), channel_score, strict=True)
            except InferenceError as error:
                failure = str(error)
                self.counters.add("inference_errors")
                log.error("%d windows stay unknown: %s", len(known), error)
        verdicts = []
        for _, window in windows:
            unknown = window.unknown or failure
            verdicts.append(_unknown(window, unknown) if unknown else _verdict(window, *next(scores)))
        scored = sum(verdict.unknown is None for verdict in verdicts)
        self.counters.add("windows_scored", scored)
        self.counters.add("windows_unknown", len(verdicts) - scored)
        return verdicts


def _likelihoods(machines: Sequence[Machine], verdicts: Sequence[Verdict]) -> list[Likelihood]:
    """Each by what its own machine calls normal in its state; those that share that are taken together."""
    held_against = [
        machine.yardstick.calibrations_of(verdict.window.values)
        if verdict.unknown is None
        else (machine.yardstick.overall,)
        for machine, verdict in zip(machines, verdicts, strict=True)
    ]
    alike: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, calibrations in enumerate(held_against):
        alike[tuple(map(id, calibrations))].append(index)
    found: dict[int, Likelihood] = {}
    for indexes in alike.values():
        scores = [verdicts[index].score - machines[index].yardstick.shift for index in indexes]
        found.update(zip(indexes, cautious(held_against[indexes[0]], scores), strict=True))
    return [found[index] for index in range(len(verdicts))]


def _verdict(window: Window, score: float, channel_score: Float32Array) -> Verdict:
    unknown = None if math.isfinite(score) else "the model gave no finite score"
    return Verdict(window, score, channel_score, unknown)


def _unknown(window: Window, reason: str) -> Verdict:
    return Verdict(window, float("nan"), np.empty(0, np.float32), reason)


def _snapshot_name(machine: str) -> str:
    return f"alarm/{machine}"


def _day_name(machine: str) -> str:
    return f"day/{machine}"


def _fit_name(machine: str) -> str:
    return f"fit/{machine}"


def _total(balances: Iterable[Balance]) -> Balance:
    parts = [(each.entered, each.left, each.held, each.dropped) for each in balances]
    return Balance(*(sum(column) for column in zip(*parts, strict=True))) if parts else Balance(0, 0, 0, 0)
