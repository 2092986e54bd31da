"""The pipeline as one object: chunks of bytes in, what must be said upstream out; decode, window, infer, decide in a row.

It reads no clock and does no I/O but through the scorer, so that the same bytes give the same alarms, live or replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from agent.decide.alarm import Act, AlarmEvent, Change
from agent.decide.isa18 import Action
from agent.decide.lasting import Likelihood
from agent.decide.machine_alarms import MachineAlarms
from agent.decode.decoder import Decoder
from agent.metrics import Counters
from agent.pipeline.books import Books, PipelineReport
from agent.pipeline.draft import Draft, standing
from agent.pipeline.floods import Floods
from agent.pipeline.intake import Intake
from agent.pipeline.judging import judged
from agent.pipeline.machine import Machine, Model
from agent.pipeline.memory import Memory
from agent.pipeline.summaries import Summaries
from agent.sensors.watch import SensorWatch
from agent.types import Batch, Chunk, Command, Commit, Retained, Verdict, Window
from agent.upstream.compose import Composer


class Pipeline:
    """Owned by one thread; `step` is the whole of its work.

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
        self.machines = {machine.id: machine for machine in machines}
        self.counters = Counters()
        # Told every event once it is durable; to be set before the first step.
        self.respond: Callable[[AlarmEvent], None] | None = None
        # Shown every window that was judged, with what came of it; must be quick. To be set before the first step.
        self.watch: Callable[[Machine, Verdict, Likelihood, Sequence[Change]], None] | None = None
        self._composer = composer
        self._intake = Intake(decoders, watches, machines, dict(tell or {}), self.counters)
        self._floods = Floods(self.machines)
        self._summaries = Summaries(decoders, self._floods.load)
        self._memory = Memory(self.machines, self._floods.load, self.counters)
        self._books = Books(self._intake, self.machines, self._floods.load, self.counters)

    def step(self, chunks: Sequence[Chunk]) -> Commit:
        """Take `chunks` through every stage; returns what must be durable before any of it is announced.

        Whatever breaks it is raised, and what it had in hand is dropped and counted, so that the next step starts with sound books.
        """
        self._books.enter(chunks)
        try:
            return self.advance(self._intake.decode(chunks))
        except Exception:
            self._books.write_off()
            raise

    def advance(self, batches: Iterable[Batch]) -> Commit:
        """The stages behind decode: window, infer, decide."""
        draft = self._draft()
        for machine, verdict, likelihood in judged(self._intake.windows(batches), self.counters):
            end_ns = verdict.window.end_ns
            self._floods.move(draft, end_ns)
            changes = machine.judge(verdict, likelihood)
            if changes:
                draft.take(machine, changes)
            if self.watch is not None:
                self.watch(machine, verdict, likelihood, changes)
            report = machine.summary.close_before(end_ns)
            if report is not None:
                self._summaries.add(draft, machine, report)
        return self._commit(draft)

    def windows(self, chunks: Sequence[Chunk]) -> list[tuple[str, Window]]:
        """Decode and window alone, by machine: what commissioning learns from."""
        return [(machine.id, window) for machine, window in self._intake.windows(self._intake.decode(chunks))]

    @property
    def alarms(self) -> Mapping[str, MachineAlarms]:
        """By machine."""
        return {name: machine.alarms for name, machine in self.machines.items()}

    def act(self, name: str, point: str, action: Action, act: Act, alarm: str | None = None) -> Commit:
        """An operator's act on a point of the machine `name`; raises isa18.RefusedError, and changes nothing, where it makes no sense."""
        machine, draft = self.machines[name], self._draft()
        draft.take(machine, [machine.alarms.act(point, action, act, alarm)])
        return self._commit(draft)

    def expire(self, now_ns: int) -> Commit:
        """End the shelvings whose time is over, and a flood where no samples come; `now_ns` is the host's time."""
        draft = self._draft()
        for machine in self.machines.values():
            draft.take(machine, machine.alarms.expire(now_ns))
        self._floods.rest(draft, now_ns)
        return self._commit(draft)

    def exchange(self, models: Sequence[Model]) -> Commit:
        """Between two steps: these models, of one bundle, watch their machines from now on. Samples, standing alarms and books go on.

        Raises ValueError, and changes nothing, where they are of other channels or another rate than those before.
        """
        draft = self._draft()
        for model in models:
            machine = self.machines[model.machine]
            before, state = machine.alarms, self._memory.of_judging(machine)
            machine.exchange(model)
            self._floods.exchange(machine, before)
            self._composer.judged_by(machine.id, model.bundle)
            self._memory.take_up(machine, state)
            draft.touched.judging(machine)
        self._floods.recheck()
        self.counters.add("exchanges")
        return self._commit(draft)

    def finish(self) -> Commit:
        """The summaries of intervals that a stop cuts short."""
        draft = self._draft()
        for machine in self.machines.values():
            self._summaries.close(draft, machine)
        return self._commit(draft)

    def standing(self, name: str) -> Retained:
        """The alarms of a machine that stand now, as its retained topic says them."""
        return standing(self.machines[name], self._composer)

    def restore(self, state: Mapping[str, bytes]) -> None:
        """Take up the alarms that stood when the agent last stopped; a snapshot that cannot be read is reported."""
        self._memory.restore(state)
        self._floods.recheck()

    def report(self) -> PipelineReport:
        """How the stages stand between two steps; for the owning thread to call, and for others to read."""
        return self._books.report()

    def _draft(self) -> Draft:
        return Draft(self._composer, self.counters)

    def _commit(self, draft: Draft) -> Commit:
        return draft.commit(self._memory, self.respond)
