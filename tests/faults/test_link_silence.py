"""Nobody says that the connection is dead: half-open, swallowed, held back, slow or stopped; it is noticed in time, or was none."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.types import NANOSECONDS
from agent.upstream.payloads import OFFLINE, ONLINE
from tests.harness.black_hole import BlackHole
from tests.harness.broker import Broker, Subscriber
from tests.harness.delivery import ALARM, Delivery, delivering, require_delivered
from tests.harness.link import AVAILABILITY, Sink, running_link, settings_for
from tests.harness.proxy import Proxy

KEEPALIVE_S = 2
# A ping goes out after one keepalive of silence, and is waited for as long; the rest is for a slow machine.
NOTICED_S = 2 * KEEPALIVE_S + 3.0
NAMES = [f"a{n}" for n in range(30)]


@pytest.mark.parametrize("silence", [Proxy.half_open, Proxy.hold_back])
@pytest.mark.parametrize("busy", [True, False])
def test_a_connection_that_died_without_a_word_is_found_within_two_keepalives(
    tmp_path: Path, broker: Broker, silence: Callable[[Proxy], None], busy: bool
) -> None:
    with (
        Proxy(broker.port) as cable,
        Subscriber(broker.host, broker.port, ALARM) as consumer,
        delivering(tmp_path, settings_for(cable.port, keepalive_s=KEEPALIVE_S)) as delivery,
    ):
        delivery.submit("before")
        delivery.wait_emptied()
        silence(cable)
        if busy:
            delivery.submit(*NAMES)
        delivery.wait_error("Keep alive timeout", NOTICED_S)
        cable.plug()
        delivery.wait_connected()
        if not busy:
            delivery.submit(*NAMES)
        delivery.wait_emptied()
        require_delivered(consumer, ["before", *NAMES])


def test_the_will_of_a_half_open_connection_does_not_outlive_the_birth_of_the_next(tmp_path: Path) -> None:
    with (
        Broker(tmp_path) as broker,
        Proxy(broker.port) as cable,
        Subscriber(broker.host, broker.port, AVAILABILITY) as consumer,
    ):
        sink = Sink()
        with running_link(settings_for(cable.port, keepalive_s=KEEPALIVE_S), sink):
            consumer.wait_for(lambda seen: [m.payload for m in seen] == [ONLINE])
            cable.half_open()
            sink.wait_up(2)
            consumer.wait_for(lambda seen: [m.payload for m in seen] == [ONLINE, OFFLINE, ONLINE])
        with Subscriber(broker.host, broker.port, AVAILABILITY) as late:
            assert late.wait_for(lambda seen: len(seen) == 1)[0].payload == b"stopped"


def test_a_broker_that_accepts_and_never_answers_is_left_and_found_again(tmp_path: Path, broker: Broker) -> None:
    with (
        Proxy(broker.port) as cable,
        Subscriber(broker.host, broker.port, ALARM) as consumer,
        delivering(tmp_path, settings_for(cable.port, keepalive_s=KEEPALIVE_S)) as delivery,
    ):
        delivery.wait_connected()
        cable.swallow()
        delivery.submit(*NAMES)
        delivery.wait_error("does not answer CONNECT", 30.0)
        cable.plug()
        delivery.wait_emptied()
        require_delivered(consumer, NAMES)
        assert delivery.link.status.protocol == "5"


def test_an_address_that_drops_every_packet_is_said_not_to_be_reached() -> None:
    with BlackHole() as hole, running_link(settings_for(hole.port), Sink()) as (link, _):
        delivery = Delivery(None, link)  # type: ignore[arg-type]
        delivery.wait_error("cannot be reached: timed out", 30.0)


def test_a_line_that_is_slow_and_not_dead_is_given_the_time_that_it_needs(
    tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.upstream.flight.PUBACK_TIMEOUT_NS", 3 * NANOSECONDS)  # as everything here, a tenth
    size_bytes, names = 16_000, [f"a{n}" for n in range(16)]
    with (
        Proxy(broker.port) as cable,
        Subscriber(broker.host, broker.port, ALARM) as consumer,
        delivering(tmp_path, settings_for(cable.port, keepalive_s=KEEPALIVE_S)) as delivery,
    ):
        delivery.wait_connected()
        cable.throttle(40_000)
        delivery.submit(*names, size_bytes=size_bytes)
        delivery.wait_emptied()
        assert delivery.link.status.reconnects == 0
        assert require_delivered(consumer, names, size_bytes=size_bytes) == 0


def test_a_broker_that_stops_for_a_moment_costs_no_connection(tmp_path: Path) -> None:
    with (
        Broker(tmp_path) as broker,
        Subscriber(broker.host, broker.port, ALARM) as consumer,
        delivering(tmp_path / "agent", settings_for(broker.port)) as delivery,
    ):
        delivery.submit("before")
        delivery.wait_emptied()
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            delivery.submit(*NAMES)
            assert not consumer.payloads(ALARM)[1:]
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        delivery.wait_emptied()
        assert require_delivered(consumer, ["before", *NAMES]) == 0
        assert delivery.link.status.reconnects == 0
