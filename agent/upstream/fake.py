"""A link without a network: the same promises as `link.Link`, with a broker that tests read, refuse with and take away."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.types import Message, Retained
from agent.upstream.connection import hears
from agent.upstream.link import LinkEvents, Listener
from agent.upstream.payloads import OFFLINE, ONLINE, STOPPED
from agent.upstream.waiting import Done


@dataclass
class FakeBroker:
    """What arrived, with the correlation data of what was said, and what shall not: `refuses` maps topics to reasons; while `silent`
    nothing is acknowledged.
    """

    messages: list[tuple[str, bytes]] = field(default_factory=list)
    retained: dict[str, bytes] = field(default_factory=dict)
    correlations: list[tuple[str, bytes | None]] = field(default_factory=list)
    refuses: dict[str, str] = field(default_factory=dict)
    silent: bool = False

    def payloads(self, topic: str) -> list[bytes]:
        """What arrived on `topic`, oldest first."""
        return [payload for name, payload in self.messages if name == topic]


class FakeLink:
    """Tells `events`, listeners and whoever said something in the thread that calls; `connect`, `drop` and `others_publish` are the
    tests' to call, the rest as in Link.
    """

    def __init__(self, availability_topic: str, events: LinkEvents | None = None) -> None:
        self.broker = FakeBroker()
        self.events = events
        self._availability_topic = availability_topic
        self._retained = {availability_topic: ONLINE}
        self._session = 0
        self._connected = False
        self._listeners: list[tuple[str, Listener, bool]] = []
        self._unheard: list[Done] = []  # of what was said while the broker was silent
        self.answers_dropped = 0
        self._lock = threading.RLock()

    def connect(self, receive_maximum: int = 20) -> None:
        """Stand a new connection up."""
        with self._lock:
            self._session += 1
            self._connected = True
            others = {topic: payload for topic, payload in self.broker.retained.items() if topic not in self._retained}
            for topic, payload in self._retained.items():
                self._state(topic, payload)
        if self.events is not None:
            self.events.up(self._session, min(20, receive_maximum))
        for topic, payload in others.items():
            self._hear(topic, payload, retained=True)

    def drop(self, reason: str = "dropped", last_words: bytes = OFFLINE) -> None:
        """Lose the connection, as a broken cable does: the will is published."""
        with self._lock:
            self._connected = False
            self._state(self._availability_topic, last_words)
            unheard, self._unheard = self._unheard, []
        for done in unheard:
            done(f"the connection ended: {reason}")
        if self.events is not None:
            self.events.down(self._session, reason)

    def stop(self) -> None:
        """Say goodbye."""
        self.drop("stopped", STOPPED)

    def publish(self, session: int, rows: Sequence[tuple[int, Message]]) -> None:
        """As Link.publish."""
        with self._lock:
            if session != self._session or not self._connected:
                return
            outcomes = [(row_id, self._take(message)) for row_id, message in rows]
        for row_id, refusal in outcomes:
            if self.events is None or self.broker.silent:
                continue
            if refusal is None:
                self.events.acked(row_id)
            else:
                self.events.refused(row_id, refusal, whole_topic=True)

    def retain(self, retained: Retained) -> None:
        """As Link.retain."""
        with self._lock:
            self._retained[retained.topic] = retained.payload
            if self._connected:
                self._state(retained.topic, retained.payload)

    def say(self, topic: str, payload: bytes, correlation: bytes | None = None, *, done: Done | None = None) -> None:
        """As Link.say; the broker notes the correlation data beside the message."""
        with self._lock:
            if not self._connected:
                self.answers_dropped += 1
                outcome: str | None = "there is no connection to the broker, or too much waits for it"
            elif self.broker.silent:
                self._unheard += [] if done is None else [done]
                return
            else:
                outcome = self.broker.refuses.get(topic)
                if outcome is None:
                    self.broker.messages.append((topic, payload))
                    self.broker.correlations.append((topic, correlation))
        if done is not None:
            done(outcome)

    def listen(self, topic_filter: str, listener: Listener, *, retained: bool = False) -> None:
        """As Link.listen; to be called before `connect`."""
        self._listeners.append((topic_filter, listener, retained))

    def others_publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        response_topic: str | None = None,
        correlation: bytes | None = None,
    ) -> None:
        """Somebody else publishes this on the broker."""
        with self._lock:
            self.broker.messages.append((topic, payload))
            if retain:
                self.broker.retained[topic] = payload
        if self._connected:
            self._hear(
                topic, payload, retained=retain, live=True, response_topic=response_topic, correlation=correlation
            )

    def _take(self, message: Message) -> str | None:
        refusal = self.broker.refuses.get(message.topic)
        if refusal is None:
            self.broker.messages.append((message.topic, message.payload))
        return refusal

    def _hear(
        self,
        topic: str,
        payload: bytes,
        *,
        retained: bool,
        live: bool = False,
        response_topic: str | None = None,
        correlation: bytes | None = None,
    ) -> None:
        for topic_filter, listener, wants_retained in self._listeners:
            if hears(topic_filter, topic) and (live or wants_retained):
                listener.take(topic, payload, retained=retained, response_topic=response_topic, correlation=correlation)

    def _state(self, topic: str, payload: bytes) -> None:
        if topic not in self.broker.refuses:
            self.broker.messages.append((topic, payload))
            self.broker.retained[topic] = payload
