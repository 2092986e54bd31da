"""The link on real brokers: will and birth, TLS, logins, refusals, limits, and the fall back to MQTT 3.1.1."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.types import Retained
from agent.upstream.settings import LinkSettings, Tls
from tests.harness.broker import Broker, Subscriber, free_port, wait_until
from tests.harness.certificates import Authority
from tests.harness.link import AVAILABILITY, Sink, running_link, settings_for
from tests.harness.listening import connections
from tests.harness.outbox import a_message
from tests.harness.proxy import Proxy

ALARM = "stethos/line-3/alarm"
RUN_A_LINK = """
import sys, threading
from tests.harness.link import Sink, settings_for
from agent.clock import SystemClock
from agent.upstream.link import Link
Link(settings_for(int(sys.argv[1])), SystemClock()).run(threading.Event(), Sink())
"""


def retained(broker: Broker, topic: str) -> bytes:
    """What a consumer that comes now finds on `topic`."""
    with Subscriber(broker.host, broker.port, topic) as late:
        message = late.wait_for(lambda seen: len(seen) == 1)[0]
    assert message.retain
    return message.payload


def test_the_will_says_offline_when_the_process_dies_and_online_when_it_returns(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker, Subscriber(broker.host, broker.port, AVAILABILITY) as consumer:
        process = subprocess.Popen([sys.executable, "-c", RUN_A_LINK, str(broker.port)])
        try:
            consumer.wait_for(lambda seen: [m.payload for m in seen] == [b"online"], 30.0)
        finally:
            process.kill()
            process.wait(30)
        consumer.wait_for(lambda seen: [m.payload for m in seen] == [b"online", b"offline"])
        assert retained(broker, AVAILABILITY) == b"offline"
        with running_link(settings_for(broker.port), Sink()):
            consumer.wait_for(lambda seen: [m.payload for m in seen][2:] == [b"online"])
        consumer.wait_for(lambda seen: [m.payload for m in seen][3:] == [b"stopped"])
        assert retained(broker, AVAILABILITY) == b"stopped"


def test_state_topics_are_said_again_to_a_broker_that_forgot_them(tmp_path: Path) -> None:
    sink = Sink()
    with Broker(tmp_path, ["persistence false"]) as broker, running_link(settings_for(broker.port), sink) as (link, _):
        link.retain(Retained("stethos/line-3/health", b"fine"))
        sink.wait_up()
        broker.kill()
        sink.wait_down()
        broker.start()
        sink.wait_up(2)
        with Subscriber(broker.host, broker.port) as consumer:
            said = {"stethos/line-3/health": b"fine", AVAILABILITY: b"online"}
            consumer.wait_for(lambda seen: {m.topic: m.payload for m in seen} == said)
        assert link.status.reconnects == 1


def test_expiry_travels_with_the_message(tmp_path: Path) -> None:
    sink = Sink()
    with (
        Broker(tmp_path) as broker,
        Subscriber(broker.host, broker.port, ALARM) as consumer,
        running_link(settings_for(broker.port), sink) as (link, _),
    ):
        rows = [(1, a_message("a", topic=ALARM, expiry_s=3600)), (2, a_message("b", topic=ALARM))]
        link.publish(sink.wait_up(), rows)
        first, second = consumer.wait_for(lambda seen: len(seen) == 2)
    assert 3590 < first.properties["MessageExpiryInterval"] <= 3600
    assert "MessageExpiryInterval" not in second.properties
    assert (first.qos, first.retain) == (1, False)


def test_a_broker_s_limits_are_kept(tmp_path: Path) -> None:
    sink = Sink()
    limits = ["max_inflight_messages 3", "max_packet_size 1000"]
    with Broker(tmp_path, limits) as broker, running_link(settings_for(broker.port), sink) as (link, _):
        session = sink.wait_up()
        assert sink.windows == [3]
        rows = [(1, a_message("big", topic=ALARM, size_bytes=2000)), (2, a_message("small", topic=ALARM))]
        link.publish(session, rows)
        outcomes = dict(sink.wait_outcomes(2))
        assert "maximum of 1000 bytes" in (outcomes[1] or "")
        assert outcomes[2] is None
        assert sink.downs == []


def test_a_refused_state_topic_shows_in_the_status(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite stethos/line-3/+\ntopic deny stethos/line-3/health\n")
    acl.chmod(0o600)
    sink = Sink()
    with Broker(tmp_path, [f"acl_file {acl}"]) as broker, running_link(settings_for(broker.port), sink) as (link, _):
        link.retain(Retained("stethos/line-3/health", b"fine"))
        wait_until(lambda: "stethos/line-3/health" in link.status.refused, 30.0, "the refusal")
        assert "Not authorized (0x87)" in link.status.refused["stethos/line-3/health"]
        assert link.status.connected


def test_a_wrong_password_is_reported_in_words(tmp_path: Path) -> None:
    password_file = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", password_file, "line-3", "right"], check=True, timeout=60)
    with Broker(tmp_path, [f"password_file {password_file}"]) as broker:
        wrong = settings_for(broker.port, username="line-3", password="wrong")
        with running_link(wrong, Sink()) as (link, _):
            wait_until(lambda: "Not authorized" in (link.status.last_error or ""), 30.0, "the reason")
            assert not link.status.connected
        sink = Sink()
        with running_link(settings_for(broker.port, username="line-3", password="right"), sink):
            sink.wait_up()


def test_nothing_listening_is_reported_and_does_not_hinder_a_stop() -> None:
    with running_link(settings_for(free_port()), Sink()) as (link, _):
        wait_until(lambda: "cannot be reached" in (link.status.last_error or ""), 30.0, "the reason")


def test_a_failing_sink_ends_the_connection_visibly_and_the_next_one_goes_on(tmp_path: Path) -> None:
    class Failing(Sink):
        def acked(self, row_id: int) -> None:
            if len(self.sessions) == 1:
                raise RuntimeError("the sink broke")
            super().acked(row_id)

    sink = Failing()
    with Broker(tmp_path) as broker, running_link(settings_for(broker.port), sink) as (link, _):
        link.publish(sink.wait_up(), [(1, a_message("a", topic=ALARM))])
        assert sink.wait_down() == "the sink broke"
        link.publish(sink.wait_up(2), [(1, a_message("a", topic=ALARM))])
        assert sink.wait_outcomes(1) == [(1, None)]
        assert "RuntimeError: the sink broke" in (link.status.last_error or "")


@pytest.fixture
def amqtt(tmp_path: Path) -> Iterator[int]:
    """A broker that speaks 3.1.1 only, at its port."""
    port = free_port()
    config = tmp_path / "amqtt.yaml"
    config.write_text(
        f"listeners:\n  default:\n    type: tcp\n    bind: 127.0.0.1:{port}\n"
        "plugins:\n  amqtt.plugins.authentication.AnonymousAuthPlugin:\n    allow_anonymous: true\n"
    )
    program = Path(sys.executable).with_name("amqtt")
    process = subprocess.Popen([program, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: accepts(port), 30.0, "amqtt listening")
        yield port
    finally:
        process.kill()
        process.wait(30)


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
        return True
    return False


@pytest.mark.slow  # amqtt takes five seconds to turn a version that it does not know away
def test_a_broker_of_3_1_1_alone_is_spoken_to_as_it_wishes(amqtt: int) -> None:
    sink = Sink()
    with running_link(settings_for(amqtt), sink) as (link, _):
        session = sink.wait_up(timeout_s=60.0)
        assert link.status.protocol == "3.1.1"
        link.publish(session, [(1, a_message("a", topic=ALARM, expiry_s=60))])
        assert sink.wait_outcomes(1) == [(1, None)]


@pytest.mark.parametrize("answer", [b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00", b""])
def test_each_way_of_refusing_version_5_leads_to_3_1_1(answer: bytes) -> None:
    versions: list[int] = []

    def serve(listener: socket.socket) -> None:
        for connection in connections(listener):
            with connection:
                connect = connection.recv(1024)
                versions.append(connect[8])
                connection.sendall(answer if connect[8] == 5 else b"\x20\x02\x00\x00")
                if connect[8] == 4:
                    connection.settimeout(30)
                    with contextlib.suppress(OSError):
                        while connection.recv(1024):
                            pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        sink = Sink()
        with running_link(settings_for(listener.getsockname()[1]), sink) as (link, _):
            sink.wait_up()
            assert link.status.protocol == "3.1.1"
    assert versions == ([5, 4] if answer else [5, 5, 4, 5, 4])


def test_a_proxy_whose_broker_starts_late_does_not_cost_version_5(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker, Proxy(broker.port) as proxy:
        proxy.cut()
        sink = Sink()
        with running_link(settings_for(proxy.port), sink) as (link, _):
            wait_until(lambda: proxy.turned_away >= 3, 30.0, "three closes without an answer")
            proxy.plug()
            sink.wait_up()
            assert link.status.protocol == "5"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def tls_lines(authority: Authority, host: str) -> list[str]:
    certificate, key = authority.issue("broker", host=host)
    return [f"cafile {authority.ca}", f"certfile {certificate}", f"keyfile {key}"]


def over_tls(broker: Broker, **files: Path) -> LinkSettings:
    return settings_for(broker.port, host="localhost", tls=Tls(**files))


def test_tls_with_our_own_authority_delivers(tmp_path: Path, authority: Authority) -> None:
    sink = Sink()
    with (
        Broker(tmp_path, tls_lines(authority, "localhost")) as broker,
        running_link(over_tls(broker, ca=authority.ca), sink) as (link, _),
    ):
        rows = [(n, a_message(f"m{n}", topic=ALARM, size_bytes=30_000)) for n in range(60)]
        link.publish(sink.wait_up(), rows)
        assert sorted(sink.wait_outcomes(60)) == [(n, None) for n in range(60)]


def test_a_certificate_for_another_host_is_refused(tmp_path: Path, authority: Authority) -> None:
    with (
        Broker(tmp_path, tls_lines(authority, "elsewhere.plant")) as broker,
        running_link(over_tls(broker, ca=authority.ca), Sink()) as (link, _),
    ):
        wait_until(lambda: "is not trusted: Hostname mismatch" in (link.status.last_error or ""), 30.0, "the reason")


def test_a_certificate_of_an_unknown_authority_is_refused(tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "another authority")
    with (
        Broker(tmp_path, tls_lines(authority, "localhost")) as broker,
        running_link(over_tls(broker, ca=other.ca), Sink()) as (link, _),
    ):
        wait_until(lambda: "is not trusted" in (link.status.last_error or ""), 30.0, "the reason")


def test_a_client_certificate_is_shown_where_the_broker_asks(tmp_path: Path, authority: Authority) -> None:
    certificate, key = authority.issue("line-3")
    lines = [*tls_lines(authority, "localhost"), "require_certificate true", "use_identity_as_username true"]
    sink = Sink()
    with Broker(tmp_path, lines) as broker:
        with running_link(over_tls(broker, ca=authority.ca, certificate=certificate, key=key), sink):
            sink.wait_up()
        with running_link(over_tls(broker, ca=authority.ca), Sink()) as (link, _):
            wait_until(lambda: link.status.last_error is not None, 30.0, "a refusal without one")
            assert not link.status.connected


def test_a_certificate_file_that_is_missing_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    with running_link(settings_for(free_port(), tls=Tls(ca=missing)), Sink()) as (link, _):
        wait_until(lambda: "missing.pem" in (link.status.last_error or ""), 30.0, "the file's name")
