"""What the outbox and the application rely on in a link, held by the real one on mosquitto and by the fake alike."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple, Protocol

import pytest
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.clock import SystemClock
from agent.types import Retained
from agent.upstream.fake import FakeLink
from agent.upstream.link import Link
from tests.harness.broker import Broker, Subscriber, wait_until
from tests.harness.link import AVAILABILITY, Sink, running, settings_for
from tests.harness.outbox import a_message

ALLOWED = "stethos/line-3/alarm"
FORBIDDEN = "stethos/line-3/forbidden"
ANSWER = "stethos/line-3/answer"
ASKED = "stethos/line-3/ask"


class Heard(NamedTuple):
    topic: str
    payload: bytes
    retained: bool
    response_topic: str | None
    correlation: bytes | None


class Ear:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []

    def take(
        self, topic: str, payload: bytes, *, retained: bool, response_topic: str | None, correlation: bytes | None
    ) -> None:
        self.heard.append(Heard(topic, payload, retained, response_topic, correlation))


class Rig(Protocol):
    """A link with its broker, a consumer's eyes and another's voice."""

    sink: Sink
    link: Link | FakeLink

    def start(self) -> None: ...
    def interrupt(self, meanwhile: Callable[[], None] = ...) -> None: ...
    def stop(self) -> None: ...
    def payloads(self, topic: str) -> list[bytes]: ...
    def correlations(self, topic: str) -> list[bytes | None]: ...
    def others_publish(
        self, topic: str, payload: bytes, *, retain: bool = ..., correlation: bytes | None = ...
    ) -> None: ...


class FakeRig:
    def __init__(self) -> None:
        self.sink = Sink()
        self.link = FakeLink(AVAILABILITY, self.sink)
        self.link.broker.refuses[FORBIDDEN] = "Not authorized"
        self.start = self.link.connect
        self.stop = self.link.stop
        self.payloads = self.link.broker.payloads

    def correlations(self, topic: str) -> list[bytes | None]:
        return [correlation for name, correlation in self.link.broker.correlations if name == topic]

    def others_publish(
        self, topic: str, payload: bytes, *, retain: bool = False, correlation: bytes | None = None
    ) -> None:
        response_topic = None if correlation is None else ANSWER
        self.link.others_publish(topic, payload, retain=retain, response_topic=response_topic, correlation=correlation)

    def interrupt(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.link.drop()
        meanwhile()
        self.link.connect()


class RealRig:
    def __init__(self, folder: Path, exits: contextlib.ExitStack) -> None:
        acl = folder / "acl"
        acl.write_text(f"topic readwrite stethos/line-3/+\ntopic deny {FORBIDDEN}\n")
        acl.chmod(0o600)
        self.sink = Sink()
        self._exits = exits
        self._broker = exits.enter_context(Broker(folder, [f"acl_file {acl}"]))
        self._consumer = exits.enter_context(Subscriber(self._broker.host, self._broker.port, "stethos/#"))
        self._stop = threading.Event()
        self.link = Link(settings_for(self._broker.port), SystemClock(), Random(1))

    def start(self) -> None:
        self._stop = self._exits.enter_context(running(self.link, self.sink))
        self.sink.wait_up()
        # It subscribes before it says so.
        wait_until(lambda: b"online" in self.payloads(AVAILABILITY), 30.0, "the birth")

    def interrupt(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self._broker.kill()
        self.sink.wait_down()
        meanwhile()
        self._broker.start()
        self.sink.wait_up(2)

    def stop(self) -> None:
        self._stop.set()
        self.sink.wait_down()

    def payloads(self, topic: str) -> list[bytes]:
        return self._consumer.payloads(topic)

    def correlations(self, topic: str) -> list[bytes | None]:
        return [each.properties.get("CorrelationData") for each in self._consumer.messages if each.topic == topic]

    def others_publish(
        self, topic: str, payload: bytes, *, retain: bool = False, correlation: bytes | None = None
    ) -> None:
        properties = Properties(PacketTypes.PUBLISH)
        if correlation is not None:
            properties.ResponseTopic, properties.CorrelationData = ANSWER, correlation
        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
        client.connect(self._broker.host, self._broker.port)
        client.loop_start()
        client.publish(topic, payload, qos=1, retain=retain, properties=properties).wait_for_publish(30)
        client.disconnect()
        client.loop_stop()


@pytest.fixture(params=["fake", "mosquitto"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    with contextlib.ExitStack() as exits:
        yield FakeRig() if request.param == "fake" else RealRig(tmp_path, exits)


def eventually(rig: Rig, topic: str, holds: Callable[[list[bytes]], bool]) -> None:
    wait_until(lambda: holds(rig.payloads(topic)), 30.0, f"{topic}, which has {rig.payloads(topic)}")


def test_a_row_is_acknowledged_and_arrives(rig: Rig) -> None:
    rig.start()
    rig.link.publish(rig.sink.wait_up(), [(7, a_message("a", topic=ALLOWED))])
    assert rig.sink.wait_outcomes(1) == [(7, None)]
    eventually(rig, ALLOWED, lambda seen: seen == [a_message("a").payload])


def test_a_refused_row_is_told_with_its_reason_and_does_not_arrive(rig: Rig) -> None:
    rig.start()
    session = rig.sink.wait_up()
    rig.link.publish(session, [(1, a_message("no", topic=FORBIDDEN)), (2, a_message("yes", topic=ALLOWED))])
    outcomes = dict(rig.sink.wait_outcomes(2))
    assert "Not authorized" in (outcomes[1] or "")
    assert outcomes[2] is None
    eventually(rig, ALLOWED, lambda seen: len(seen) == 1)
    assert rig.payloads(FORBIDDEN) == []


def test_rows_for_another_session_are_left_alone(rig: Rig) -> None:
    rig.start()
    session = rig.sink.wait_up()
    rig.link.publish(session + 1, [(1, a_message("early", topic=ALLOWED))])
    rig.link.publish(session - 1, [(2, a_message("late", topic=ALLOWED))])
    rig.link.publish(session, [(3, a_message("now", topic=ALLOWED))])
    assert rig.sink.wait_outcomes(1) == [(3, None)]
    eventually(rig, ALLOWED, lambda seen: seen == [a_message("now").payload])


def test_the_window_is_at_most_twenty(rig: Rig) -> None:
    rig.start()
    rig.sink.wait_up()
    assert rig.sink.windows == [20]


def test_birth_says_online_and_a_clean_stop_says_stopped(rig: Rig) -> None:
    rig.start()
    eventually(rig, AVAILABILITY, lambda seen: seen == [b"online"])
    rig.stop()
    eventually(rig, AVAILABILITY, lambda seen: seen == [b"online", b"stopped"])
    assert rig.sink.wait_down() == "stopped"


def test_the_newest_value_of_a_state_topic_is_said_now_and_again_after_an_interruption(rig: Rig) -> None:
    topic = "stethos/line-3/health"
    rig.start()
    rig.link.retain(Retained(topic, b"1"))
    rig.link.retain(Retained(topic, b"2"))
    eventually(rig, topic, lambda seen: seen[-1:] == [b"2"])
    before = len(rig.payloads(topic))
    rig.interrupt()
    eventually(rig, topic, lambda seen: len(seen) > before and seen[-1] == b"2")
    eventually(rig, AVAILABILITY, lambda seen: seen[-1:] == [b"online"])
    assert rig.sink.sessions == [1, 2]


def test_a_value_set_without_a_connection_is_said_on_connecting(rig: Rig) -> None:
    rig.start()
    rig.interrupt(meanwhile=lambda: rig.link.retain(Retained(ALLOWED, b"early")))
    eventually(rig, ALLOWED, lambda seen: seen[-1:] == [b"early"])


def test_what_is_said_arrives_once_with_its_correlation_data_and_whoever_said_it_hears_so(rig: Rig) -> None:
    outcomes: list[str | None] = []
    rig.start()
    rig.link.say(ANSWER, b"yes", b"\x00\xff", done=outcomes.append)
    rig.link.say(ANSWER, b"again")
    eventually(rig, ANSWER, lambda seen: seen == [b"yes", b"again"])
    wait_until(lambda: outcomes == [None], 30.0, "the outcome")
    assert rig.correlations(ANSWER) == [b"\x00\xff", None]
    rig.interrupt()
    eventually(rig, AVAILABILITY, lambda seen: seen.count(b"online") == 2)
    assert rig.payloads(ANSWER) == [b"yes", b"again"]
    assert rig.link.answers_dropped == 0


def test_whoever_says_what_the_broker_refuses_hears_why(rig: Rig) -> None:
    outcomes: list[str | None] = []
    rig.start()
    rig.link.say(FORBIDDEN, b"no", done=outcomes.append)
    wait_until(lambda: len(outcomes) == 1, 30.0, "the outcome")
    assert "Not authorized" in (outcomes[0] or "")
    assert rig.payloads(FORBIDDEN) == []


def test_what_is_said_without_a_connection_is_dropped_counted_and_never_said_later(rig: Rig) -> None:
    outcomes: list[str | None] = []
    rig.start()
    eventually(rig, AVAILABILITY, lambda seen: seen == [b"online"])
    rig.interrupt(meanwhile=lambda: rig.link.say(ANSWER, b"lost", done=outcomes.append))
    eventually(rig, AVAILABILITY, lambda seen: seen.count(b"online") == 2)
    rig.link.say(ANSWER, b"now")
    eventually(rig, ANSWER, lambda seen: seen == [b"now"])
    assert outcomes == ["there is no connection to the broker, or too much waits for it"]
    assert rig.link.answers_dropped == 1


def test_a_listener_hears_what_others_publish_on_its_topics_and_nothing_else(rig: Rig) -> None:
    ear, deaf = Ear(), Ear()
    rig.link.listen("stethos/line-3/+", ear)
    rig.link.listen("elsewhere/#", deaf)
    rig.start()
    rig.link.say(ANSWER, b"our own words")
    rig.others_publish(ASKED, b"1", correlation=b"\x07")
    rig.others_publish(ASKED, b"2", retain=True)
    wait_until(lambda: len(ear.heard) == 2, 30.0, f"two messages, not {ear.heard}")
    assert ear.heard == [Heard(ASKED, b"1", False, ANSWER, b"\x07"), Heard(ASKED, b"2", True, None, None)]
    assert deaf.heard == []


@pytest.mark.parametrize("retained", [True, False])
def test_a_listener_that_wants_it_hears_on_connecting_what_the_broker_retains(rig: Rig, retained: bool) -> None:
    ear = Ear()
    rig.link.listen(ASKED, ear, retained=retained)
    rig.others_publish(ASKED, b"kept", retain=True)
    rig.start()
    rig.others_publish(ASKED, b"live")
    wait_until(lambda: b"live" in [each.payload for each in ear.heard], 30.0, "what was published")
    kept = [Heard(ASKED, b"kept", True, None, None)] if retained else []
    assert ear.heard == [*kept, Heard(ASKED, b"live", False, None, None)]
