"""The link's thread: keeps one connection to the broker, for ever, and says on each where the agent stands."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import NamedTuple, Protocol

from agent.attempt import attempt
from agent.backoff import full_jitter_s
from agent.clock import Clock
from agent.errors import LinkError
from agent.metrics import Counters
from agent.types import NANOSECONDS, Message, Retained
from agent.upstream.connection import (
    ClosedEarlyError,
    Connection,
    Incoming,
    PacketTooLargeError,
    Refusal,
    VersionRefusedError,
    hears,
)
from agent.upstream.flight import PUBACK_TIMEOUT_NS, Flight
from agent.upstream.payloads import ONLINE, STOPPED
from agent.upstream.settings import LinkSettings
from agent.upstream.suspects import Suspects
from agent.upstream.version import VersionChoice
from agent.upstream.waiting import Done, Outgoing, Waiting
from agent.waker import Waker

log = logging.getLogger(__name__)

ANSWER_EXPIRY_S = 60  # nobody waits for an answer for longer
_TICK_S = 0.5
_CONNACK_TIMEOUT_NS = 10 * NANOSECONDS
# With the half second until a stop is seen this is within what a stop gives the link (agent.stopping).
_GOODBYE_TIMEOUT_NS = 900_000_000
_STABLE_NS = 10 * NANOSECONDS
_FIRST_RETRY_S = 0.5
_LONGEST_RETRY_S = 30.0


class LinkEvents(Protocol):
    """Who is told, in the link's thread; must not block. A row is told of at most once a session."""

    def up(self, session: int, receive_maximum: int) -> None:
        """Connection number `session` stands."""
        ...

    def down(self, session: int, reason: str) -> None:
        """It is over: rows without an outcome may or may not have arrived."""
        ...

    def acked(self, row_id: int) -> None:
        """The broker has the row."""
        ...

    def refused(self, row_id: int, reason: str, *, whole_topic: bool) -> None:
        """The broker does not take the row; `whole_topic` where it would take no other on that topic either."""
        ...


class Listener(Protocol):
    """Who is told of what others publish, in the link's thread; must not block or raise."""

    def take(
        self, topic: str, payload: bytes, *, retained: bool, response_topic: str | None, correlation: bytes | None
    ) -> None:
        """Somebody published this."""
        ...


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """The link as health shows it; `since_ns` is wall time, of the connection that stands."""

    connected: bool = False
    since_ns: int | None = None
    protocol: str | None = None
    reconnects: int = 0
    last_error: str | None = None
    refused: Mapping[str, str] = field(default_factory=dict)  # state topic -> the broker's reason


class _Ear(NamedTuple):
    topic_filter: str
    listener: Listener
    retained: bool


class Link:
    """`publish` and `retain` may be called from any thread, and never wait for the network; `run` is a thread's body."""

    def __init__(self, settings: LinkSettings, clock: Clock, random: Random | None = None) -> None:
        """`random` spreads the retries of a fleet."""
        self.counters = Counters()  # sent, acked, refused, unanswered (when a connection ended)
        self._listeners: list[_Ear] = []
        self._settings = settings
        self._clock = clock
        self._random = random or Random()  # noqa: S311 - jitter, no secret
        self._waker = Waker()
        self._waiting = Waiting(Retained(settings.availability_topic, ONLINE))
        self._status = LinkStatus()
        # The thread's own:
        self._events: LinkEvents
        self._flight = Flight(0)
        self._began_ns = 0
        self._failures = 0  # since a connection last stood for a while
        self._version = VersionChoice()
        self._suspects = Suspects()

    @property
    def status(self) -> LinkStatus:
        """The state of affairs; never blocks."""
        return self._status

    def publish(self, session: int, rows: Sequence[tuple[int, Message]]) -> None:
        """Send rows in connection number `session`; those of another are left to whoever hears of its end."""
        self._waiting.put_rows(session, rows)
        self._waker.wake()

    def retain(self, retained: Retained) -> None:
        """Make this the value of its topic, said now and again on each connection; only the newest counts."""
        self._waiting.put_state(retained)
        self._waker.wake()

    def say(self, topic: str, payload: bytes, correlation: bytes | None = None, *, done: Done | None = None) -> None:
        """Send something once, in the connection that stands; dropped, and counted, where there is none or too many wait.

        `done` hears what became of it, at once where it was dropped.
        """
        answer = Outgoing(topic, payload, retain=False, expiry_s=ANSWER_EXPIRY_S, correlation=correlation, done=done)
        if self._waiting.put_answer(answer):
            self._waker.wake()
        elif done is not None:
            done("there is no connection to the broker, or too much waits for it")

    def listen(self, topic_filter: str, listener: Listener, *, retained: bool = False) -> None:
        """Tell `listener` what others publish there, and what the broker retains of it where `retained`; to be called before `run`."""
        self._listeners.append(_Ear(topic_filter, listener, retained))

    @property
    def answers_dropped(self) -> int:
        """Answers that nobody heard."""
        return self._waiting.answers_dropped

    def run(self, stop: threading.Event, events: LinkEvents) -> None:
        """Connect, serve and reconnect until `stop`; then say "stopped" and disconnect."""
        self._events = events
        with self._waker.listening() as wake:
            while not stop.is_set():
                try:
                    self._serve(stop, wake)
                except LinkError as error:
                    self._report(error)
                except Exception as error:  # one connection's outermost guard
                    log.exception("the link failed and starts a new connection")
                    self._report(LinkError(f"internal failure: {type(error).__name__}: {error}"))
                else:
                    continue
                self._failures += 1
                stop.wait(self._retry_after_s())

    def _retry_after_s(self) -> float:
        return full_jitter_s(
            self._failures, first_s=_FIRST_RETRY_S, cap_s=_LONGEST_RETRY_S, fraction=self._random.random()
        )

    def _serve(self, stop: threading.Event, wake: socket.socket) -> None:
        """One connection from its start to its end; returns only when stopped, else raises LinkError."""
        with contextlib.closing(
            Connection(self._settings, self._version.current, self._on_ack, self._on_message)
        ) as connection:
            if not attempt("link connect", connection.open, stop, connection.close):
                return
            receive_maximum = self._await_connack(connection, stop, wake)
            if receive_maximum is None:
                return
            if not self._version.accepted():
                connection.disconnect()
                raise LinkError("the broker speaks MQTT 3.1.1; making sure that it does not speak 5")
            session = self._begin(receive_maximum)
            reason = "stopped"
            try:
                self._events.up(session, self._flight.window)
                for ear in self._listeners:
                    connection.subscribe(ear.topic_filter, retained=ear.retained)
                while not stop.is_set():
                    self._pump(connection)
                    self._turn(connection, wake)
                self._say_goodbye(connection, wake)
            except Exception as error:
                reason = str(error)
                if (oldest := self._flight.oldest) is not None:
                    self._suspects.note(oldest, reason, certain=isinstance(error, PacketTooLargeError))
                raise
            finally:
                self._finish(session, reason)

    def _await_connack(self, connection: Connection, stop: threading.Event, wake: socket.socket) -> int | None:
        deadline_ns = self._clock.monotonic_ns() + _CONNACK_TIMEOUT_NS
        while connection.accepted is None:
            if stop.is_set():
                return None
            if self._clock.monotonic_ns() > deadline_ns:
                raise connection.unanswered()
            self._turn(connection, wake)
        return connection.accepted.receive_maximum

    def _begin(self, receive_maximum: int) -> int:
        self._flight = Flight(receive_maximum)
        self._began_ns = self._clock.monotonic_ns()
        version = self._version.current
        session = self._waiting.begin()
        self._status = LinkStatus(
            connected=True,
            since_ns=self._clock.now_ns(),
            protocol=version,
            reconnects=session - 1,
            last_error=self._status.last_error,
        )
        log.info("connected to %s:%d over MQTT %s", self._settings.host, self._settings.port, version)
        return session

    def _pump(self, connection: Connection) -> None:
        """Send what waits, as far as there is room."""
        while self._flight.has_room:
            outgoing = self._waiting.take()
            if outgoing is None:
                return
            self._send(connection, outgoing)

    def _send(self, connection: Connection, outgoing: Outgoing) -> None:
        why = self._suspects.held_back(outgoing)
        answer = connection.publish(outgoing) if why is None else Refusal(why, whole_topic=False)
        self.counters.add("sent")
        if isinstance(answer, Refusal):
            self._settle(outgoing, answer)
        else:
            self._flight.add(answer, outgoing, self._clock.monotonic_ns())

    def _on_message(self, incoming: Incoming) -> None:
        for ear in self._listeners:
            if hears(ear.topic_filter, incoming.topic):
                ear.listener.take(
                    incoming.topic,
                    incoming.payload,
                    retained=incoming.retained,
                    response_topic=incoming.response_topic,
                    correlation=incoming.correlation,
                )

    def _on_ack(self, mid: int, refusal: Refusal | None) -> None:
        sent = self._flight.answered(mid)
        self._suspects.clear(sent)
        self._settle(sent, refusal)

    def _settle(self, sent: Outgoing, refusal: Refusal | None) -> None:
        self.counters.add("acked" if refusal is None else "refused")
        if sent.row_id is None and sent.retain:
            self._note_state_topic(sent.topic, refusal)
        elif sent.row_id is None:
            if sent.done is not None:
                sent.done(None if refusal is None else refusal.reason)
            if refusal is not None:
                log.warning("the broker refused the message on %s: %s", sent.topic, refusal.reason)
        elif refusal is None:
            self._events.acked(sent.row_id)
        else:
            self._events.refused(sent.row_id, refusal.reason, whole_topic=refusal.whole_topic)

    def _note_state_topic(self, topic: str, refusal: Refusal | None) -> None:
        refused = {name: reason for name, reason in self._status.refused.items() if name != topic}
        if refusal is not None:
            log.warning("the broker refused the state topic %s: %s", topic, refusal.reason)
            refused[topic] = refusal.reason
        if refused != self._status.refused:
            self._status = replace(self._status, refused=refused)

    def _turn(self, connection: Connection, wake: socket.socket, timeout_s: float = _TICK_S) -> None:
        connection.turn(wake.fileno(), timeout_s)
        with contextlib.suppress(BlockingIOError):
            wake.recv(4096)
        if (oldest := self._flight.overdue(self._clock.monotonic_ns())) is not None:
            raise LinkError(f"no PUBACK for {PUBACK_TIMEOUT_NS // NANOSECONDS} s on {oldest.topic}")
        while connection.deaf:
            self._note_state_topic(*connection.deaf.popitem())

    def _say_goodbye(self, connection: Connection, wake: socket.socket) -> None:
        """Say the last states, let what is under way be acknowledged, then "stopped", then DISCONNECT; the will stays unsaid."""
        until_ns = self._clock.monotonic_ns() + _GOODBYE_TIMEOUT_NS
        while self._waiting.states_wait and (left_s := self._left_s(until_ns)) > 0:
            self._pump(connection)
            self._turn(connection, wake, left_s)
        self._await_acks(connection, wake, until_ns)
        self._send(connection, Outgoing(self._settings.availability_topic, STOPPED, retain=True))
        self._await_acks(connection, wake, until_ns)
        connection.disconnect()

    def _await_acks(self, connection: Connection, wake: socket.socket, until_ns: int) -> None:
        while self._flight and (left_s := self._left_s(until_ns)) > 0:
            self._turn(connection, wake, left_s)

    def _left_s(self, until_ns: int) -> float:
        return min(_TICK_S, (until_ns - self._clock.monotonic_ns()) / NANOSECONDS)

    def _finish(self, session: int, reason: str) -> None:
        if self._clock.monotonic_ns() - self._began_ns > _STABLE_NS:
            self._failures = 0
        unanswered = self._flight.unanswered()
        self._flight = Flight(0)
        self.counters.add("unanswered", len(unanswered))
        self._status = replace(self._status, connected=False, since_ns=None)
        for outgoing in (*unanswered, *self._waiting.end()):
            if outgoing.done is not None:
                outgoing.done(f"the connection ended: {reason}")
        self._events.down(session, reason)

    def _report(self, error: LinkError) -> None:
        """Show why, and take the other version of MQTT where this one seems to be the reason."""
        log.warning("%s", error)
        self._status = replace(self._status, last_error=str(error))
        if isinstance(error, VersionRefusedError):
            self._version.refused()
        elif isinstance(error, ClosedEarlyError):
            self._version.closed()
