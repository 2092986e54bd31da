"""The cable breaks within a packet, wherever: the next connection sends what was not acknowledged, and repeats are the same message."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.broker import Broker, Subscriber, wait_until
from tests.harness.delivery import ALARM, delivering, require_delivered
from tests.harness.link import settings_for
from tests.harness.packets import WHERE, Cut
from tests.harness.proxy import Proxy

NAMES = [f"a{n}" for n in range(40)]
WINDOW = 20


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(
    ("packet", "nth"), [("CONNECT", 1), ("CONNACK", 1), ("PUBLISH", 1), ("PUBLISH", 9), ("PUBACK", 1), ("PUBACK", 9)]
)
def test_a_cut_within_a_packet_loses_nothing(tmp_path: Path, broker: Broker, packet: str, nth: int, where: str) -> None:
    with (
        Proxy(broker.port) as cable,
        Subscriber(broker.host, broker.port, ALARM) as consumer,
    ):
        cable.cut_within(Cut(packet, WHERE[where], nth))
        with delivering(tmp_path, settings_for(cable.port)) as delivery:
            delivery.submit(*NAMES)
            delivery.wait_emptied()
            repeats = require_delivered(consumer, NAMES)
            counted = delivery.link.counters.snapshot()
            assert delivery.link.status.protocol == "5", "one broken connection does not cost the version"
            assert delivery.link.status.last_error is not None, "the cable was cut, and it shows"
    assert repeats <= WINDOW
    assert counted["sent"] == counted["acked"] + counted.get("unanswered", 0)


def test_a_cable_that_breaks_again_and_again_delivers_all_the_same(tmp_path: Path, broker: Broker) -> None:
    with (
        Proxy(broker.port) as cable,
        Subscriber(broker.host, broker.port, ALARM) as consumer,
        delivering(tmp_path, settings_for(cable.port)) as delivery,
    ):
        for cut in range(3):
            begun = delivery.link.status.reconnects
            cable.cut()
            cable.cut_within(Cut(("PUBLISH", "PUBACK")[cut % 2], WHERE["half"], 3 + cut))
            cable.plug()
            delivery.submit(*(f"{cut}-{name}" for name in NAMES))
            wait_until(lambda begun=begun: delivery.link.status.reconnects > begun, 30.0, "another connection")
        delivery.wait_emptied(60.0)
        require_delivered(consumer, [f"{cut}-{name}" for cut in range(3) for name in NAMES])
