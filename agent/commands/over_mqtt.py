"""Requests over MQTT: from BASE/AGENT/request/COMMAND to BASE/AGENT/response/COMMAND, or to where MQTT v5's response topic says."""

from __future__ import annotations

from collections.abc import Callable

from agent.clock import Clock
from agent.commands.catalogue import COMMANDS
from agent.commands.dispatcher import Asked, Dispatcher
from agent.commands.rate import Bucket
from agent.metrics import Counters

BURST = 20
PER_SECOND = 5.0
_LONGEST_TOPIC_BYTES = 256
_LONGEST_CORRELATION_BYTES = 256
_UNKNOWN = "unknown"  # the response topic of a command that does not exist

# topic, payload, correlation data
Say = Callable[[str, bytes, bytes | None], None]


class MqttRequests:
    """`take` is called in the link's thread with whatever anybody published, and raises nothing.

    counters: received = taken + retained + over_rate + misdirected. What is retained, too fast, or asks for its answer on a topic that
    is none, is not answered: such an answer could do harm.
    """

    def __init__(self, prefix: str, dispatcher: Dispatcher, say: Say, clock: Clock) -> None:
        """`prefix` is BASE/AGENT."""
        self.counters = Counters()
        self.topic_filter = f"{prefix}/request/+"
        self._prefix = prefix
        self._dispatcher = dispatcher
        self._say = say
        self._clock = clock
        self._bucket = Bucket(BURST, PER_SECOND)

    def take(
        self, topic: str, payload: bytes, *, retained: bool, response_topic: str | None, correlation: bytes | None
    ) -> None:
        """Hand a message over to be carried out."""
        self.counters.add("received")
        name = topic.removeprefix(f"{self._prefix}/request/")
        answer_on = response_topic or f"{self._prefix}/response/{name if name in COMMANDS else _UNKNOWN}"
        if retained:
            self.counters.add("retained")
        elif not self._bucket.take(self._clock.monotonic_ns()):
            self.counters.add("over_rate")
        elif not self._may_answer_on(answer_on) or len(correlation or b"") > _LONGEST_CORRELATION_BYTES:
            self.counters.add("misdirected")
        else:
            self.counters.add("taken")
            self._dispatcher.submit(Asked(name, payload, None, lambda data: self._say(answer_on, data, correlation)))

    def _may_answer_on(self, topic: str) -> bool:
        """A name without wildcards that is none of this agent's own topics but those of responses, and not the broker's."""
        plain = topic.isprintable() and not any(sign in topic for sign in "+#") and not topic.startswith("$")
        own = topic.startswith(f"{self._prefix}/") and not topic.startswith(f"{self._prefix}/response/")
        return plain and not own and 0 < len(topic.encode(errors="replace")) <= _LONGEST_TOPIC_BYTES
