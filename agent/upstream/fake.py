"""A link without a network: the same promises as `link.Link`, with a broker that tests read, refuse with and take away."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.types import Message, Retained
from agent.upstream.link import LinkEvents
from agent.upstream.payloads import OFFLINE, ONLINE, STOPPED


@dataclass
class FakeBroker:
    """What arrived, and what shall not: `refuses` maps topics to reasons; while `silent` nothing is acknowledged."""

    messages: list[tuple[str, bytes]] = field(default_factory=list)
    retained: dict[str, bytes] = field(default_factory=dict)
    refuses: dict[str, str] = field(default_factory=dict)
    silent: bool = False

    def payloads(self, topic: str) -> list[bytes]:
        """What arrived on `topic`, oldest first."""
        return [payload for name, payload in self.messages if name == topic]


class FakeLink:
    """Tells `events` in the thread that calls; `connect` and `drop` are the tests' to call, the rest as in Link."""

    def __init__(self, availability_topic: str, events: LinkEvents | None = None) -> None:
        self.broker = FakeBroker()
        self.events = events
        self._availability_topic = availability_topic
        self._retained = {availability_topic: ONLINE}
        self._session = 0
        self._connected = False
        self._lock = threading.RLock()

    def connect(self, receive_maximum: int = 20) -> None:
        """Stand a new connection up."""
        with self._lock:
            self._session += 1
            self._connected = True
            for topic, payload in self._retained.items():
                self._say(topic, payload)
        if self.events is not None:
            self.events.up(self._session, min(20, receive_maximum))

    def drop(self, reason: str = "dropped", last_words: bytes = OFFLINE) -> None:
        """Lose the connection, as a broken cable does: the will is published."""
        with self._lock:
            self._connected = False
            self._say(self._availability_topic, last_words)
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
                self._say(retained.topic, retained.payload)

    def _take(self, message: Message) -> str | None:
        refusal = self.broker.refuses.get(message.topic)
        if refusal is None:
            self.broker.messages.append((message.topic, message.payload))
        return refusal

    def _say(self, topic: str, payload: bytes) -> None:
        if topic not in self.broker.refuses:
            self.broker.messages.append((topic, payload))
            self.broker.retained[topic] = payload
