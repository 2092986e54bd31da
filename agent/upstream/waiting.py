"""What waits to be said: the newest value of each state topic, answers, and rows of the outbox, none of which holds another kind up."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from agent.errors import LinkError
from agent.types import Message, Retained

MAX_QUEUED_ROWS = 100
MAX_QUEUED_ANSWERS = 100
_PACKET_OVERHEAD_BYTES = 32

# Told what became of something that was said: None where the broker has it, else why not. In the link's thread; must not block.
Done = Callable[[str | None], None]


class Outgoing(NamedTuple):
    """A message to publish; `row_id` is that of a row of the outbox."""

    topic: str
    payload: bytes
    retain: bool
    expiry_s: int | None = None
    row_id: int | None = None
    correlation: bytes | None = None
    done: Done | None = None

    @property
    def packet_bytes(self) -> int:
        """What the PUBLISH packet takes at most."""
        return len(self.topic.encode()) + len(self.payload) + len(self.correlation or b"") + _PACKET_OVERHEAD_BYTES


class Waiting:
    """For any thread. A state topic's value is kept for ever, rows and answers for the connection that they were given to."""

    def __init__(self, birth: Retained) -> None:
        """`birth` is what each connection begins with."""
        self._lock = threading.Lock()
        self._session = 0
        self._connected = False
        self._rows: deque[Outgoing] = deque()
        self._answers: deque[Outgoing] = deque()
        self._retained = {birth.topic: birth.payload}
        self._unsaid: dict[str, None] = {}  # topics whose value this connection has not yet been told, in order
        self._state_was_last = False
        self.answers_dropped = 0

    def begin(self) -> int:
        """A new connection stands; its number. Every state is to be told to it."""
        with self._lock:
            self._session += 1
            self._connected = True
            self._state_was_last = False
            self._unsaid = dict.fromkeys(self._retained)
            return self._session

    def end(self) -> Sequence[Outgoing]:
        """It is over: the answers that nobody heard."""
        with self._lock:
            self._connected = False
            unheard = list(self._answers)
            self.answers_dropped += len(unheard)
            self._rows.clear()
            self._answers.clear()
            return unheard

    def put_rows(self, session: int, rows: Iterable[tuple[int, Message]]) -> None:
        """Rows for connection number `session`, dropped where that is not the one that stands; raises LinkError for too many."""
        outgoing = [
            Outgoing(message.topic, message.payload, retain=False, expiry_s=message.expiry_s, row_id=row_id)
            for row_id, message in rows
        ]
        with self._lock:
            if session != self._session or not self._connected:
                return
            if len(self._rows) + len(outgoing) > MAX_QUEUED_ROWS:
                raise LinkError(f"more than {MAX_QUEUED_ROWS} rows at once: offer at most the receive maximum")
            self._rows.extend(outgoing)

    def put_state(self, retained: Retained) -> None:
        """The newest value of a state topic.

        One entry a topic is kept, and topics come from the configuration: that bounds the memory.
        """
        with self._lock:
            self._retained[retained.topic] = retained.payload
            self._unsaid[retained.topic] = None

    def put_answer(self, answer: Outgoing) -> bool:
        """False, and counted, where no connection stands or too many wait."""
        with self._lock:
            if not self._connected or len(self._answers) >= MAX_QUEUED_ANSWERS:
                self.answers_dropped += 1
                return False
            self._answers.append(answer)
            return True

    def take(self) -> Outgoing | None:
        """What is to be said next: a state and something else by turns.

        States that are renewed faster than a slow line carries them would otherwise hold alarms up for ever.
        """
        with self._lock:
            others = self._answers or self._rows
            if self._unsaid and not (self._state_was_last and others):
                self._state_was_last = True
                topic = next(iter(self._unsaid))
                del self._unsaid[topic]
                return Outgoing(topic, self._retained[topic], retain=True)
            self._state_was_last = False
            return others.popleft() if others else None

    @property
    def states_wait(self) -> bool:
        """Whether the connection has yet to be told of a state."""
        return bool(self._unsaid)
