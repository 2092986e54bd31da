"""The composition root: a checked configuration in, the running agent out."""

from __future__ import annotations

import logging
import signal
import threading
import uuid
from collections.abc import Callable
from typing import Any

from agent.assembly import (
    composer_of,
    discovery_of,
    link_settings_of,
    listeners_of,
    pipeline_of,
    recorder_of,
    sources_of,
)
from agent.clock import Clock, SystemClock
from agent.commands.access import Access
from agent.commands.catalogue import History
from agent.commands.dispatcher import Dispatcher, Sources
from agent.commands.over_mqtt import MqttRequests
from agent.config.checked import (
    Checked,
    CheckedResponse,
)
from agent.config.commands import without_secrets
from agent.control.server import ControlServer
from agent.decide.responses import Interlocks
from agent.errors import OutboxError
from agent.exposition.textfile import Textfile
from agent.health import headline
from agent.notify import Notifier
from agent.outbox.history import answer
from agent.outbox.store import Outbox
from agent.outbox.writer import OutboxWriter
from agent.respond.actions import Action, Publish, Tell
from agent.respond.program import Program
from agent.respond.responder import Doing, Responder
from agent.sources.buffer import ChunkBuffer
from agent.sources.serial_port import SerialSource
from agent.supervise import Supervisor
from agent.types import NANOSECONDS, Commit
from agent.upstream.announcing import announce
from agent.upstream.compose import Composer
from agent.upstream.documents import told
from agent.upstream.link import Link
from agent.upstream.topics import Topics
from agent.vitals import Parts, Vitals

log = logging.getLogger(__name__)

# Eight seconds of 100 devices that send 8 channels of float32 at 256 Hz; beyond that the oldest bytes give way.
BUFFER_BYTES = 8 * 1024 * 1024
TICK_S = 0.25
TAKE_S = 0.25
# Lets the readers of many devices gather what one step then does at once; an alarm is this much later.
GATHER_S = 0.01
PIPELINE_SILENCE_NS = 60 * NANOSECONDS
SUBMIT_S = 1.0
REQUESTS_A_TURN = 16
# Every page of the outbox is read at the start, and copied where one is damaged: a gigabyte takes a slow disk minutes.
OPEN_OUTBOX_S = 600.0
STILL_OPENING_WITHIN_S = 60.0

# SIGTERM to exit takes at most the sum of these: the order is the order of the data.
STOP_READERS_S = 2.0
STOP_PIPELINE_S = 3.0
DRAIN_OUTBOX_S = 2.0
STOP_LINK_S = 2.0
STOP_OUTBOX_S = 1.0
STOP_RESPONDER_S = 1.0


def run(checked: Checked) -> int:
    """Run until SIGTERM or SIGINT; 0 after a stop that left nothing undone in memory, 1 after any other."""
    asked_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked_to_stop.set())
    app = App(checked, SystemClock(), Notifier())
    app.start()
    app.watch(asked_to_stop)
    return 0 if app.stop() else 1


class App:
    """One run of the agent: threads are started against the flow of the data and stopped along it."""

    def __init__(self, checked: Checked, clock: Clock, notifier: Notifier) -> None:
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
        self._pipeline = pipeline_of(profiles, checked.machines, composer, tell)
        self._recorder = recorder_of(checked)
        self._textfile = None if checked.metrics is None else Textfile(checked.metrics)
        self._link = Link(link_settings_of(checked, topics), clock)
        if checked.config.homeassistant.discovery:
            announce(discovery_of(checked, topics, self._pipeline), self._link)
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
        self._undelivered: Commit | None = None
        self._dispatcher = self._dispatcher_of(composer)
        self._requests = MqttRequests(topics.prefix, self._dispatcher, self._link.say, clock)
        self._control = ControlServer(checked.commands.socket, self._dispatcher, clock)
        self._responder = self._responder_of(composer)
        self._report, self._reported_ns = self._pipeline.report(), clock.monotonic_ns()
        self._vitals = Vitals(
            Parts(
                checked=checked,
                buffer=self._buffer,
                source_of=self._source_of,
                writer=self._writer,
                link=self._link,
                supervisor=self._supervisor,
                composer=composer,
                recorder=self._recorder,
                textfile=self._textfile,
                latest_report=lambda: self._report,
                command_counters=self._command_counters,
                response_counters=self._response_counters,
            ),
            clock,
        )

    def start(self) -> None:
        """Start every thread and tell systemd; raises OutboxError where the disk does not let it."""
        self._supervisor.start("outbox", self._writer.run)
        state = self._writer.wait_ready(
            OPEN_OUTBOX_S, lambda: self._notifier.still_starting("reading the outbox", STILL_OPENING_WITHIN_S)
        )
        self._pipeline.restore(state)
        self._report = self._pipeline.report()
        self._dispatcher.restore(state)
        if self._responder is not None:
            self._responder.restore(state)
            self._pipeline.respond = self._responder.put
            self._supervisor.start("respond", self._responder.run)
        for machine in self._checked.machines:
            self._link.retain(self._pipeline.standing(machine))
        self._link.listen(self._requests.topic_filter, self._requests)
        self._supervisor.start("link", lambda stop: self._link.run(stop, self._writer))
        if self._recorder is not None:
            self._supervisor.start("record", self._recorder.run)
        if self._textfile is not None:
            self._supervisor.start("metrics", self._textfile.run)
        self._supervisor.start("pipeline", self._run_pipeline, PIPELINE_SILENCE_NS)
        self._supervisor.start("control", self._control.run)
        for source in self._sources:
            self._supervisor.start(source.name, source.run)
        status = f"{len(self._checked.devices)} devices, {len(self._checked.machines)} machines"
        log.info("running: %s", status)
        self._notifier.ready(status)

    def watch(self, asked_to_stop: threading.Event) -> None:
        """The main thread: deadlines, health and the watchdog, until asked to stop."""
        sessions = {id(machine.session): machine.session for machine in self._checked.machines.values()}
        looked_ns = self._clock.monotonic_ns() - NANOSECONDS
        while not asked_to_stop.wait(TICK_S):
            now_ns = self._clock.monotonic_ns()
            for session in sessions.values():
                session.enforce_deadline(now_ns)
            if now_ns - looked_ns < NANOSECONDS:
                continue
            looked_ns = now_ns
            self._look()

    def stop(self) -> bool:
        """Stop along the flow of the data within ten seconds; False where a thread did not end or a commit was lost."""
        self._notifier.stopping("draining")
        ended = self._supervisor.stop([source.name for source in self._sources], STOP_READERS_S)
        ended &= self._supervisor.stop(["pipeline"], STOP_PIPELINE_S)
        self._buffer.close()
        self._dispatcher.close()
        if self._responder is not None:
            ended &= self._supervisor.stop(["respond"], STOP_RESPONDER_S)
        if not self._writer.drain(DRAIN_OUTBOX_S):
            log.warning("what the broker has not taken stays on disk for the next start")
        self._vitals.publish(last=True)
        ended &= self._supervisor.stop(["link", "control"], STOP_LINK_S)
        recording = [] if self._recorder is None else ["record"]
        metrics = [] if self._textfile is None else ["metrics"]
        ended &= self._supervisor.stop([*recording, *metrics, "outbox"], STOP_OUTBOX_S)
        return ended and self._undelivered is None

    def _look(self) -> None:
        health = self._vitals.publish()
        stuck = self._vitals.stuck()
        if stuck:
            self._notifier.status(f"stuck: {', '.join(stuck)}")
            log.error("no sign of life from %s", ", ".join(stuck))
            return
        self._notifier.watchdog()
        self._notifier.status(headline(health))

    def _run_pipeline(self, stop: threading.Event) -> None:
        """Thread body: what could not be handed to the outbox before goes first, and nothing overtakes it."""
        while not stop.is_set() or self._buffer.held_bytes:
            self._supervisor.beat("pipeline")
            if self._undelivered is not None:
                self._hand_over(self._undelivered)
            else:
                self._turn(stop)
        if self._undelivered is not None:
            self._hand_over(self._undelivered)
        if self._undelivered is None:  # else what it decided before the stop is lost, and the exit code says so
            self._hand_over(self._pipeline.finish())
        self._report = self._pipeline.report()

    def _turn(self, stop: threading.Event) -> None:
        """What people ask goes before what devices sent, of which there may be no end."""
        self._look_each_second()
        self._serve_requests()
        if self._undelivered is not None:
            return
        chunks = self._buffer.take(TAKE_S)
        if chunks:
            if self._recorder is not None:
                self._recorder.put(chunks)
            self._hand_over(self._pipeline.step(chunks))
            stop.wait(GATHER_S)

    def _look_each_second(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._reported_ns >= NANOSECONDS:
            self._report, self._reported_ns = self._pipeline.report(), now_ns
            self._hand_over(self._pipeline.expire(self._clock.now_ns()))

    def _serve_requests(self) -> None:
        """A few at most, so that they hold up no samples; what one changed is handed over before the next is looked at."""
        for _ in range(REQUESTS_A_TURN):
            commit = None if self._undelivered is not None else self._dispatcher.serve()
            if commit is None:
                return
            self._hand_over(commit)

    def _responder_of(self, composer: Composer) -> Responder | None:
        responses = self._checked.responses
        if not responses:
            return None
        return Responder(
            Interlocks([response.rules for response in responses]),
            {each.rules.id: Doing(self._action(each), each.timeout_s) for each in responses},
            self._writer.submit,
            composer.alarm_alone,
            self._clock,
        )

    def _action(self, response: CheckedResponse) -> Action:
        """What it does; the check has seen to it that it is exactly one thing, and that there is all it takes."""
        config = response.config
        if config.mqtt is not None:
            return Publish(self._link, config.mqtt.topic, config.mqtt.payload)
        if config.serial is not None:
            source, device = self._source_of[config.serial.device], self._checked.devices[config.serial.device]
            assert isinstance(source, SerialSource), "only profiles of serial devices have commands"
            command = device.profile.command[config.serial.command]
            return Tell(source.teller, device.id, config.serial.command, command)
        assert config.program is not None
        assert response.folder is not None
        return Program(response.folder, config.program.file, tuple(config.program.arguments))

    def _dispatcher_of(self, composer: Composer) -> Dispatcher:
        checked = self._checked
        access = Access(checked.config.agent.id, checked.commands.mqtt, checked.commands.keys)
        sources = Sources(
            compose=lambda command, body: composer.response(command, body, self._clock.now_ns()),
            told=told,
            config=lambda: without_secrets(checked.config),
            health=lambda: self._vitals.latest,
            history=self._history,
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

    def _hand_over(self, commit: Commit) -> None:
        """Back-pressure: while the disk lags, the readers' buffer fills, drops its oldest bytes and counts them."""
        if commit.empty:
            return
        self._undelivered = commit
        try:
            self._writer.submit(commit, SUBMIT_S)
        except OutboxError as error:
            log.error("%s", error)
            return
        self._undelivered = None
