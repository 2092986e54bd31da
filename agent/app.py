"""The composition root: a checked configuration in, the running agent out."""

from __future__ import annotations

import logging
import signal
import threading
import uuid
from collections.abc import Callable
from typing import Any

from agent.assembly import (
    bundles_of,
    composer_of,
    discovery_of,
    link_settings_of,
    listeners_of,
    pipeline_of,
    recorder_of,
    sources_of,
)
from agent.canary import PROFILE as CANARY_PROFILE
from agent.canary import Canary, late_ns
from agent.clock import Clock, SystemClock
from agent.commands.access import Access
from agent.commands.catalogue import History
from agent.commands.dispatcher import Dispatcher, Sources
from agent.commands.over_mqtt import MqttRequests
from agent.config.checked import CheckedMachine
from agent.config.commands import without_secrets
from agent.config.starting import Started
from agent.config.trying import problems_of
from agent.control.server import ControlServer
from agent.errors import OutboxError
from agent.exposition.textfile import Textfile
from agent.health import status_line
from agent.infer.engine_keeper import EngineKeeper
from agent.notify import Notifier
from agent.outbox.history import answer
from agent.outbox.store import Outbox
from agent.outbox.writer import OutboxWriter
from agent.pipeline_thread import BUFFER_BYTES, SUBMIT_S, PipelineThread
from agent.respond.assembly import responder_of
from agent.rollout.configuration import Configuration
from agent.rollout.telling import Teller
from agent.sources.buffer import ChunkBuffer
from agent.stopping import SHARES_S, Allowance
from agent.supervise import Supervisor
from agent.types import CANARY, NANOSECONDS
from agent.upstream.announcing import announce
from agent.upstream.compose import Composer
from agent.upstream.documents import told
from agent.upstream.homeassistant import Discovery
from agent.upstream.link import Link
from agent.upstream.topics import Topics
from agent.vitals import Parts, Vitals

log = logging.getLogger(__name__)

TICK_S = 0.25
# Every thread looks whether to stop at least this often, or it is stuck. A try for a new connection waits 30 s at most, and what may
# block for longer (a name's look-up, a handshake) runs in a thread beside it.
SILENCE_NS = 60 * NANOSECONDS
# Loading a model proves it, and waiting to build an engine once more takes ten minutes.
MODEL_SILENCE_NS = 20 * SILENCE_NS
# Every page of the outbox is read at the start, and copied where one is damaged: a gigabyte takes a slow disk minutes.
OPEN_OUTBOX_S = 600.0
STILL_OPENING_WITHIN_S = 60.0


def run(started: Started) -> int | None:
    """Run until SIGTERM or SIGINT; 0 after a stop that left nothing undone in memory, 1 after any other, None to start anew."""
    asked_to_end, asked_to_stop = threading.Event(), threading.Event()

    def end(*_: object) -> None:
        asked_to_end.set()
        asked_to_stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    app = App(started, SystemClock(), Notifier(), asked_to_stop.set)
    signal.signal(signal.SIGHUP, lambda *_: app.reload())
    app.start()
    app.watch(asked_to_stop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    ended_well = app.stop(anew=not asked_to_end.is_set())
    if not ended_well:
        log.error("the stop left something undone: a thread that did not end, or what the disk did not take")
    if asked_to_end.is_set():
        return 0 if ended_well else 1
    return None


class App:
    """One run of the agent: threads are started against the flow of the data and stopped along it."""

    def __init__(self, started: Started, clock: Clock, notifier: Notifier, restart: Callable[[], None]) -> None:
        """`restart` is called in any thread where another configuration is to run."""
        checked, store = started.checked, started.store
        self._checked = checked
        self._clock = clock
        self._notifier = notifier
        self._supervisor = Supervisor(clock)
        topics = Topics(checked.config.upstream.base, checked.config.agent.id)
        composer = composer_of(topics, uuid.uuid4().hex, checked.machines)
        self._buffer = ChunkBuffer(BUFFER_BYTES)
        self._source_of, self._sources = sources_of(checked.config.agent.id, checked.devices, self._buffer, clock)
        profiles = {device.id: device.profile for device in checked.devices.values()}
        tell = listeners_of(checked.devices, self._source_of)
        self._pipeline = pipeline_of({**profiles, CANARY: CANARY_PROFILE}, checked.machines, composer, tell)
        self._canary = Canary(self._buffer, late_ns(checked.inference.deadline_ns), clock)
        self._recorder = recorder_of(checked)
        self._textfile = None if checked.metrics is None else Textfile(checked.metrics)
        self._engines = EngineKeeper(checked.inference)
        self._link = Link(link_settings_of(checked, topics), clock)
        self._topics = topics
        self._announce: Callable[[Discovery], None] | None = None
        if checked.config.homeassistant.discovery:
            discovery = discovery_of(checked, checked.machines, topics, self._pipeline)
            self._announce = announce(discovery, self._link)
        self._writer = OutboxWriter(
            lambda counters: Outbox.open(
                checked.state / "outbox.db",
                checked.config.outbox.max_bytes,
                composer.gap,
                clock,
                counters,
                journal_records=checked.config.outbox.journal_records,
            ),
            self._link,
            clock,
        )
        self._bundles = bundles_of(
            checked,
            store,
            Teller(composer, lambda commit: self._writer.submit(commit, SUBMIT_S), clock),
            exchanged=self._exchanged,
            failed_steps=lambda: self._thread.report.counters.get("failed_steps", 0),
            clock=clock,
        )
        self._pipeline.watch = self._bundles.observing.look
        self._stuck: list[str] = []
        self._configuration = Configuration(
            started.shelf,
            started.kind,
            started.contents,
            started.refused,
            check=problems_of,
            well=lambda: not self._stuck,
            well_after_ns=checked.well_after_ns,
            restart=restart,
            teller=Teller(composer, lambda commit: self._writer.submit(commit, SUBMIT_S), clock),
            clock=clock,
        )
        self._dispatcher = self._dispatcher_of(composer)
        self._requests = MqttRequests(topics.prefix, self._dispatcher, self._link.say, clock)
        self._control = ControlServer(checked.commands.socket, self._dispatcher, clock)
        self._responder = responder_of(
            checked,
            source_of=self._source_of,
            link=self._link,
            submit=self._writer.submit,
            composer=composer,
            clock=clock,
        )
        self._thread = PipelineThread(
            self._pipeline,
            self._buffer,
            canary=self._canary,
            recorder=self._recorder,
            dispatcher=self._dispatcher,
            handover=self._bundles.handover,
            submit=self._writer.submit,
            clock=clock,
        )
        self._vitals = Vitals(
            Parts(
                checked=checked,
                buffer=self._buffer,
                canary=self._canary,
                source_of=self._source_of,
                writer=self._writer,
                link=self._link,
                supervisor=self._supervisor,
                composer=composer,
                recorder=self._recorder,
                textfile=self._textfile,
                engines=self._engines,
                fleet=self._bundles.fleet,
                rollout=self._bundles.rollout,
                configuration=self._configuration,
                latest_report=lambda: self._thread.report,
                command_counters=self._command_counters,
                response_counters=self._response_counters,
                bundle_counters=self._bundles.teller.counters.snapshot,
            ),
            clock,
        )

    def start(self) -> None:
        """Start every thread and tell systemd; raises OutboxError where the disk does not let it."""
        self._supervisor.start("outbox", self._writer.run, SILENCE_NS)
        state = self._writer.wait_ready(
            OPEN_OUTBOX_S, lambda: self._notifier.still_starting("reading the outbox", STILL_OPENING_WITHIN_S)
        )
        self._pipeline.restore(state)
        self._thread.look()
        self._dispatcher.restore(state)
        if self._responder is not None:
            self._responder.restore(state)
            longest_ns = round(max(each.timeout_s for each in self._checked.responses) * NANOSECONDS)
            self._pipeline.respond = self._responder.put
            self._supervisor.start("respond", self._responder.run, SILENCE_NS + longest_ns)
        for machine in self._checked.machines:
            self._link.retain(self._pipeline.standing(machine))
        self._link.listen(self._requests.topic_filter, self._requests)
        self._supervisor.start("link", lambda stop: self._link.run(stop, self._writer), SILENCE_NS)
        if self._recorder is not None:
            self._supervisor.start("record", self._recorder.run, SILENCE_NS)
        if self._textfile is not None:
            self._supervisor.start("metrics", self._textfile.run, SILENCE_NS)
        if self._engines.wanted:
            for watched in self._checked.machines.values():
                self._engines.watch(watched.id, watched.bundle, watched.session)
            self._supervisor.start("engines", self._engines.run, MODEL_SILENCE_NS)
        self._supervisor.start(self._thread.name, self._thread.run, SILENCE_NS)
        self._supervisor.start("shadow", self._bundles.shadows.run, MODEL_SILENCE_NS)
        self._supervisor.start("bundles", self._bundles.rollout.run, MODEL_SILENCE_NS)
        self._supervisor.start("config", self._configuration.run, MODEL_SILENCE_NS)
        self._supervisor.start("control", self._control.run, SILENCE_NS)
        for source in self._sources:
            self._supervisor.start(source.name, source.run, SILENCE_NS)
        self._supervisor.start(self._canary.name, self._canary.run, SILENCE_NS)
        status = f"{len(self._checked.devices)} devices, {len(self._checked.machines)} machines"
        log.info("running: %s", status)
        self._notifier.ready(status)

    def watch(self, asked_to_stop: threading.Event) -> None:
        """The main thread: deadlines, health and the watchdog, until asked to stop."""
        looked_ns = self._clock.monotonic_ns() - NANOSECONDS
        while not asked_to_stop.wait(TICK_S):
            now_ns = self._clock.monotonic_ns()
            for session in self._bundles.sessions:
                session.enforce_deadline(now_ns)
            if now_ns - looked_ns < NANOSECONDS:
                continue
            looked_ns = now_ns
            self._look()

    def reload(self) -> None:
        """Look at the operator's file again; may be called in a signal's handler."""
        self._configuration.reload()

    def stop(self, *, anew: bool = False) -> bool:
        """Stop along the flow of the data within ten seconds; False where a thread did not end or a commit was lost.

        With `anew` the agent starts again in its place, and the service goes on.
        """
        if anew:
            self._notifier.watchdog()
            self._notifier.reloading("starting anew")
        else:
            self._notifier.stopping("draining")
        allowance = Allowance(self._clock)
        if self._engines.wanted:  # nobody waits for it: an engine that is being built or loaded leaves nothing undone
            self._supervisor.stop(["engines"], 0)
        # Nor for a bundle that is being proved: what it is about is on disk, and goes on at the next start.
        self._supervisor.stop(["bundles", "shadow", "config"], allowance.left_s("bundles"))
        readers = [*(source.name for source in self._sources), Canary.name]
        ended = self._supervisor.stop(readers, allowance.left_s("readers"))
        ended &= self._supervisor.stop([self._thread.name], allowance.left_s("pipeline"))
        self._buffer.close()
        self._dispatcher.close()
        if self._responder is not None:
            ended &= self._supervisor.stop(["respond"], allowance.left_s("responses"))
        # No longer, whatever is left of the stop: a broker that is away may stay away.
        if not self._writer.drain(SHARES_S["drain"]):
            log.warning("what the broker has not taken stays on disk for the next start")
        self._vitals.publish(last=True)
        ended &= self._supervisor.stop(["link", "control"], allowance.left_s("link"))
        recording = [] if self._recorder is None else ["record"]
        metrics = [] if self._textfile is None else ["metrics"]
        ended &= self._supervisor.stop([*recording, *metrics, "outbox"], allowance.left_s("outbox"))
        if anew:  # else a model's own process ends with this one
            for session in self._bundles.sessions:
                session.close()
        return ended and self._thread.undelivered is None

    def _look(self) -> None:
        health = self._vitals.publish()
        self._stuck = stuck = self._vitals.stuck()
        if stuck:
            self._notifier.status(f"stuck: {', '.join(stuck)}")
            log.error("no sign of life from %s", ", ".join(stuck))
            return
        self._notifier.watchdog()
        self._notifier.status(status_line(health))

    def _exchanged(self, machine: CheckedMachine) -> None:
        """In the thread that has the bundles."""
        if self._engines.wanted:
            self._engines.watch(machine.id, machine.bundle, machine.session)
        if self._announce is not None:
            machines = self._bundles.fleet.machines
            self._announce(discovery_of(self._checked, machines, self._topics, self._pipeline))

    def _dispatcher_of(self, composer: Composer) -> Dispatcher:
        checked = self._checked
        access = Access(checked.config.agent.id, checked.commands.mqtt, checked.commands.keys)
        sources = Sources(
            compose=lambda command, body: composer.response(command, body, self._clock.now_ns()),
            told=told,
            config=lambda: without_secrets(checked.config),
            health=lambda: self._vitals.latest,
            history=self._history,
            bundles=self._bundles.rollout.told,
            change_bundle=self._bundles.rollout.wishes.submit,
            change_config=self._configuration.wishes.submit,
        )
        return Dispatcher(self._pipeline, access, sources, self._clock)

    def _history(self, query: History, pass_on: Callable[[Any], None], refuse: Callable[[str], None]) -> bool:
        """From the outbox's own thread, which alone may read its file."""

        def question(store: Outbox) -> None:
            try:
                found = store.read_journal(lambda journal: answer(journal, query))
            except OutboxError as error:
                refuse(str(error))
            else:
                pass_on(found)

        return self._writer.ask(question)

    def _command_counters(self) -> dict[str, int]:
        return {
            **self._dispatcher.counters.snapshot(),
            "busy": self._dispatcher.busy,
            **{f"mqtt_{name}": count for name, count in self._requests.counters.snapshot().items()},
            "answers_dropped": self._link.answers_dropped,
        }

    def _response_counters(self) -> dict[str, int]:
        if self._responder is None:
            return {}
        return self._responder.counters.snapshot() | {"dropped": self._responder.dropped}
