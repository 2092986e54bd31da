"""The link's goodbye over a line on which nothing is answered any more."""

from __future__ import annotations

import socket

from agent.clock import FakeClock
from agent.stopping import SHARES_S
from agent.types import NANOSECONDS
from agent.upstream import link as link_module
from agent.upstream.flight import Flight
from agent.upstream.link import Link
from agent.upstream.payloads import STOPPED
from agent.upstream.waiting import Outgoing
from tests.harness.link import settings_for


class DeadLine:
    """A connection whose turns bring nothing, and take as long as they may."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.said: list[bytes] = []
        self.deaf: dict[str, object] = {}
        self.disconnected = False

    def publish(self, outgoing: Outgoing) -> int:
        self.said.append(outgoing.payload)
        return len(self.said)

    def turn(self, _wake_fd: int, timeout_s: float) -> None:
        assert timeout_s > 0
        self._clock.advance(round(timeout_s * NANOSECONDS))

    def disconnect(self) -> None:
        self.disconnected = True


def test_a_goodbye_that_nobody_answers_is_said_within_the_links_share_of_a_stop() -> None:
    clock = FakeClock()
    link, line, (wake, other) = Link(settings_for(1), clock), DeadLine(clock), socket.socketpair()
    wake.setblocking(False)
    link._flight = Flight(10)
    link._send(line, Outgoing("health", b"failure", retain=True))
    begun_ns = clock.monotonic_ns()
    with wake, other:
        link._say_goodbye(line, wake)
    took_s = (clock.monotonic_ns() - begun_ns) / NANOSECONDS
    assert link_module._TICK_S + took_s < SHARES_S["link"]  # a tick goes by before a stop is seen
    assert line.said == [b"failure", STOPPED]
    assert line.disconnected
