"""What the outbox and the application rely on in a link, held by the real one on mosquitto and by the fake alike."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from agent.outbox.writer import Sender
from agent.types import Retained
from agent.upstream.fake import FakeLink
from tests.harness.broker import Broker, Subscriber, wait_until
from tests.harness.link import AVAILABILITY, Sink, running_link, settings_for
from tests.harness.outbox import a_message

ALLOWED = "stethos/line-3/alarm"
FORBIDDEN = "stethos/line-3/forbidden"


class Rig(Protocol):
    """A link with its broker, and a consumer's eyes."""

    sink: Sink
    link: Sender

    def start(self) -> None: ...
    def interrupt(self, meanwhile: Callable[[], None] = ...) -> None: ...
    def stop(self) -> None: ...
    def payloads(self, topic: str) -> list[bytes]: ...


class FakeRig:
    def __init__(self) -> None:
        self.sink = Sink()
        self.link = FakeLink(AVAILABILITY, self.sink)
        self.link.broker.refuses[FORBIDDEN] = "Not authorized"
        self.start = self.link.connect
        self.stop = self.link.stop
        self.payloads = self.link.broker.payloads

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

    def start(self) -> None:
        self.link, self._stop = self._exits.enter_context(running_link(settings_for(self._broker.port), self.sink))
        self.sink.wait_up()

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


@pytest.fixture(params=["fake", "mosquitto"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    with contextlib.ExitStack() as exits:
        yield FakeRig() if request.param == "fake" else RealRig(tmp_path, exits)


def eventually(rig: Rig, topic: str, holds: Callable[[list[bytes]], bool]) -> None:
    wait_until(lambda: holds(rig.payloads(topic)), 15.0, f"{topic}, which has {rig.payloads(topic)}")


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
