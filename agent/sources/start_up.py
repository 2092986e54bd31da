"""Starting a device up over its open line: each command sent, its answer awaited, sent again where none comes in time."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from agent.clock import Clock
from agent.decode.schema import StartupCommand
from agent.decode.startup import Conversation, answer_pattern, payload, unanswered
from agent.errors import LinkError
from agent.metrics import Counters
from agent.sources.serial_line import SerialLine
from agent.types import NANOSECONDS

# How soon a stop is seen while an answer is awaited.
_SLICE_S = 0.1


def start_up(
    line: SerialLine, commands: Sequence[StartupCommand], counters: Counters, clock: Clock, stop: threading.Event
) -> bytes:
    """Say `commands` in order; returns what followed the last answer, which is data.

    Raises LinkError where a command stays unanswered. counters: startup_retries, startup_bytes (read and no data). A stop
    ends it early, with no data.
    """
    rest = b""
    for command in commands:
        if stop.is_set():
            break
        counters.add("startup_bytes", len(rest))  # it was sent before the device was told all
        if answer_pattern(command) is None:
            line.write(payload(command))
            rest = b""
        else:
            rest = _ask(line, command, counters, clock, stop)
    return rest


def _ask(line: SerialLine, command: StartupCommand, counters: Counters, clock: Clock, stop: threading.Event) -> bytes:
    conversation = Conversation(command)
    try:
        for attempt in range(command.retries + 1):
            counters.add("startup_retries", int(attempt > 0))
            line.write(payload(command))
            deadline_ns = clock.monotonic_ns() + round(command.timeout_s * NANOSECONDS)
            while (left_ns := deadline_ns - clock.monotonic_ns()) > 0:
                if stop.is_set():
                    return b""
                rest = conversation.feed(line.read(min(_SLICE_S, left_ns / NANOSECONDS)))
                if rest is not None:
                    return rest
        raise LinkError(unanswered(command, conversation.abandon()))
    finally:
        conversation.abandon()
        counters.add("startup_bytes", conversation.passed_bytes)
