"""A broker says no to a message, or to us because of one: the message waits, is tried again, and holds up no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.types import Kind, Retained
from tests.harness.broker import Broker, Subscriber, wait_until
from tests.harness.delivery import ALARM, Delivery, delivering, require_delivered
from tests.harness.link import Sink, running_link, settings_for
from tests.harness.outbox import a_message
from tests.harness.packets import connack, disconnect, packet, puback
from tests.harness.scripted_broker import ScriptedBroker, accept

SUMMARY = "stethos/line-3/summary"
UNSPECIFIED, NOT_AUTHORIZED, PACKET_TOO_LARGE, QUOTA_EXCEEDED = 0x80, 0x87, 0x95, 0x97
LIMIT_BYTES = 1_000


def topics(broker: ScriptedBroker) -> list[str]:
    """Of the rows that it took."""
    return [topic for topic, _ in broker.arrived if topic in {ALARM, SUMMARY}]


def alarms(broker: ScriptedBroker) -> list[bytes]:
    return [payload for topic, payload in broker.arrived if topic == ALARM]


def refused(delivery: Delivery) -> dict[str, str]:
    status = delivery.writer.status
    return {} if status is None else dict(status.refused)


@pytest.mark.parametrize(
    ("reason", "words"), [(NOT_AUTHORIZED, "Not authorized (0x87)"), (QUOTA_EXCEEDED, "Quota exceeded (0x97)")]
)
def test_a_refused_topic_waits_while_others_go_on_and_arrives_when_it_may(
    tmp_path: Path, reason: int, words: str
) -> None:
    def refuse_alarms(topic: str, message_id: bytes, _: bytes) -> bytes:
        return puback(message_id, reason if topic == ALARM else 0)

    with ScriptedBroker(refuse_alarms) as broker, delivering(tmp_path, settings_for(broker.port)) as delivery:
        delivery.submit("a", "b")
        delivery.submit("s", kind=Kind.SUMMARY)
        wait_until(lambda: refused(delivery) == {ALARM: words} and topics(broker) == [SUMMARY], 30.0, "the refusal")
        broker.on_publish = accept
        delivery.wait_emptied()
        assert alarms(broker) == [a_message(name, size_bytes=200).payload for name in ("a", "b")]
        assert refused(delivery) == {}
        assert delivery.link.status.reconnects == 0


def test_a_message_that_mosquitto_finds_too_large_waits_and_the_next_arrives(tmp_path: Path) -> None:
    with (
        Broker(tmp_path, [f"message_size_limit {LIMIT_BYTES}"]) as broker,
        Subscriber(broker.host, broker.port, ALARM) as consumer,
        delivering(tmp_path / "agent", settings_for(broker.port)) as delivery,
    ):
        delivery.submit("large", size_bytes=2 * LIMIT_BYTES)
        delivery.submit("small")
        consumer.wait_for(lambda seen: len(seen) == 1)
        require_delivered(consumer, ["small"])
        wait_until(lambda: "connections ended over it" in refused(delivery).get(ALARM, ""), 30.0, "the reason")


@pytest.mark.parametrize("says_why", [True, False])
def test_messages_over_which_a_broker_ends_connections_do_not_hold_up_the_others(
    tmp_path: Path, says_why: bool
) -> None:
    farewell = disconnect(PACKET_TOO_LARGE if says_why else UNSPECIFIED)

    def end_over_size(_topic: str, message_id: bytes, payload: bytes) -> bytes:
        return farewell if len(payload) > LIMIT_BYTES else puback(message_id)

    with ScriptedBroker(end_over_size) as broker, delivering(tmp_path, settings_for(broker.port)) as delivery:
        delivery.wait_connected()
        delivery.submit("large", size_bytes=5 * LIMIT_BYTES)
        delivery.submit("a", "b")
        wait_until(lambda: len(alarms(broker)) >= 2, 30.0, "what is small enough")
        assert set(alarms(broker)) == {a_message(name, size_bytes=200).payload for name in ("a", "b")}
        wait_until(lambda: "connections ended over it" in refused(delivery).get(ALARM, ""), 30.0, "the reason")
        broker.on_publish = accept
        delivery.wait_emptied()
        assert a_message("large", size_bytes=5 * LIMIT_BYTES).payload in alarms(broker), "it is tried again"


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (connack(QUOTA_EXCEEDED), "refused the connection: Quota exceeded"),
        (connack(NOT_AUTHORIZED), "refused the connection: Not authorized"),
        (connack() + disconnect(QUOTA_EXCEEDED), "ended the connection: Quota exceeded"),
    ],
)
def test_a_broker_that_refuses_the_agent_is_asked_again_until_it_does_not(
    tmp_path: Path, greeting: bytes, words: str
) -> None:
    with ScriptedBroker(greeting=greeting) as broker, delivering(tmp_path, settings_for(broker.port)) as delivery:
        delivery.submit("a")
        delivery.wait_error(words)
        broker.greeting = connack()
        delivery.wait_emptied()
        assert alarms(broker) == [a_message("a", size_bytes=200).payload]


def test_no_more_is_sent_at_once_than_the_broker_receives(tmp_path: Path) -> None:
    at_once, most, lock = 0, 0, threading.Lock()
    receive_maximum = b"\x21\x00\x02"
    held: list[bytes] = []

    def answer_in_pairs(_topic: str, message_id: bytes, _payload: bytes) -> bytes:
        nonlocal at_once, most
        with lock:
            held.append(puback(message_id))
            most = max(most, len(held))
            if len(held) < 2 and at_once < 8:
                at_once += 1
                return b""
            answers = b"".join(held)
            held.clear()
            return answers

    greeting = connack(properties=receive_maximum)
    with (
        ScriptedBroker(answer_in_pairs, greeting) as broker,
        delivering(tmp_path, settings_for(broker.port)) as delivery,
    ):
        delivery.submit(*(f"a{n}" for n in range(11)))
        delivery.wait_emptied()
    assert most == 2


@pytest.fixture
def sick(request: pytest.FixtureRequest) -> Iterator[ScriptedBroker]:
    with ScriptedBroker(greeting=request.param) as broker:
        yield broker


@pytest.mark.parametrize(
    "sick",
    [
        connack() + b"\x00\x00",  # a type that does not exist
        connack() + packet("PUBACK", b"\xff\xff\x00\x00"),  # of what was never sent
        connack() + b"\x90\x04\xff\xff\x00\x00",  # a SUBACK of the same kind
        connack() + packet("CONNACK", b""),
        connack() + b"\x30\x03\x00\x01\xff",  # a topic that is no UTF-8, cut short
        b"\x20\x00",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        bytes(range(256)),
    ],
    indirect=True,
)
def test_a_broker_that_speaks_nonsense_is_left_and_the_next_that_makes_sense_gets_everything(
    tmp_path: Path, sick: ScriptedBroker
) -> None:
    with delivering(tmp_path, settings_for(sick.port, keepalive_s=1)) as delivery:
        delivery.submit("a")
        wait_until(lambda: sick.connections > 1 or bool(alarms(sick)), 30.0, "another try, or no need of it")
        sick.greeting = connack()
        delivery.wait_emptied()
        assert alarms(sick)[-1] == a_message("a", size_bytes=200).payload


def test_no_broker_makes_the_agent_hold_more_than_a_megabyte(tmp_path: Path) -> None:
    huge = connack() + b"\x30\xff\xff\xff\x7f" + bytes(100_000)
    with ScriptedBroker(greeting=huge) as broker, delivering(tmp_path, settings_for(broker.port)) as delivery:
        delivery.wait_error("sends a packet of 268435455 bytes: 1048576 is the most")


def test_state_topics_that_are_renewed_all_the_time_do_not_hold_rows_up() -> None:
    sink = Sink()
    with ScriptedBroker() as broker:

        def renew(topic: str, message_id: bytes, _: bytes) -> bytes:
            if topic.endswith("health"):
                link.retain(Retained(topic, b"newer"))
            return puback(message_id)

        broker.on_publish = renew
        with running_link(settings_for(broker.port), sink) as (link, _):
            link.retain(Retained("stethos/line-3/health", b"new"))
            link.retain(Retained("stethos/line-3/device/health", b"new"))
            session = sink.wait_up()
            link.publish(session, [(n, a_message(f"a{n}", topic=ALARM)) for n in range(20)])
            assert sink.wait_outcomes(20) == [(n, None) for n in range(20)]
            broker.on_publish = accept
