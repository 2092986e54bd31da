"""The MQTT source against a real mosquitto: sessions, restarts of either side, refusals, TLS, retained and foreign messages."""

import contextlib
import socket
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import paho.mqtt.client as mqtt
import paho.mqtt.publish
import pytest

from agent.clock import SystemClock
from agent.config.broker import Broker as Address
from agent.config.checked import Connection
from agent.decode.decoder import Decoder
from agent.decode.encode import Encoder
from agent.sources import mqtt_topic
from agent.sources.buffer import ChunkBuffer
from agent.sources.mqtt_topic import MqttSource
from tests.harness.broker import Broker, require, wait_until
from tests.harness.certificates import Authority
from tests.harness.profiles import shipped
from tests.harness.reading import collect, joined, running

T0 = 1_760_000_000_000_000_000


def make(broker, filters=None, client_id="test-in", *, tls=False, **login):
    buffer = ChunkBuffer(10_000_000)
    connection = Connection(Address(broker.host, broker.port, tls=tls), **login)
    return MqttSource(connection, filters or {"d": "plant/d"}, client_id, buffer, SystemClock()), buffer


def publish(broker, *messages, qos=1, retain=False, **options):
    items = [(topic, payload, qos, retain) for topic, payload in messages]
    paho.mqtt.publish.multiple(items, broker.host, broker.port, **options)


def subscribed(broker, source, count=1):
    wait_until(lambda: source.status.is_open, 30.0, "connected")
    wait_until(lambda: broker.log().count("Sending SUBACK to test-in") >= count, 30.0, "subscribed")


def test_each_device_gets_the_messages_of_its_filter(broker):
    source, buffer = make(broker, {"a": "plant/a/+", "b": "plant/b", "twin": "plant/b"})
    with running(source):
        subscribed(broker, source)
        publish(broker, ("plant/a/1", b"1"), ("plant/a/2", b"2"), ("plant/b", b"3"), ("plant/c", b"4"))
        chunks = collect(buffer, 4)
        assert (joined(chunks, "a"), joined(chunks, "b"), joined(chunks, "twin")) == (b"12", b"3", b"3")


def test_messages_of_quality_1_survive_our_restart(broker):
    source, _ = make(broker)
    with running(source):
        subscribed(broker, source)
    publish(broker, ("plant/d", b"while you were away"))
    again, buffer = make(broker)
    with running(again):
        assert joined(collect(buffer, 19), "d") == b"while you were away"


def test_a_broker_that_lost_its_sessions_is_subscribed_anew(broker, caplog):
    source, buffer = make(broker)
    with running(source):
        subscribed(broker, source)
        broker.kill()
        # The status may say already that nothing can be connected to; the log keeps the loss.
        wait_until(lambda: any("connection lost" in line for line in caplog.messages), 30.0, "loss seen")
        wait_until(lambda: not source.status.is_open, 30.0, "shown as closed")
        broker.start()
        subscribed(broker, source, 2)
        publish(broker, ("plant/d", b"back"))
        assert joined(collect(buffer, 4), "d") == b"back"
        assert source.status.opened == 2


def test_a_broker_that_is_absent_at_the_start_is_waited_for(tmp_path):
    broker = Broker(tmp_path)
    source, buffer = make(broker)
    with running(source):
        wait_until(lambda: "cannot connect" in source.status.error, 30.0, "an error that says so")
        with broker:
            subscribed(broker, source)
            publish(broker, ("plant/d", b"late"))
            assert joined(collect(buffer, 4), "d") == b"late"


def test_retained_messages_are_old_news_and_no_samples(broker):
    publish(broker, ("plant/d", b"last week's"), retain=True)
    source, buffer = make(broker)
    with running(source):
        subscribed(broker, source)
        publish(broker, ("plant/d", b"fresh"))
        assert joined(collect(buffer, 5), "d") == b"fresh"


def test_a_kept_session_takes_the_filters_of_the_new_configuration(broker):
    source, _ = make(broker, {"d": "plant/old"})
    with running(source):
        subscribed(broker, source)
    again, buffer = make(broker, {"d": "plant/new"})
    with running(again):
        subscribed(broker, again, 2)
        publish(broker, ("plant/old", b"old"), ("plant/new", b"new"))
        assert joined(collect(buffer, 3), "d") == b"new"
        assert again.status.counters["unmatched"] == 1


def test_a_wrong_password_is_named_and_tried_again_in_the_same_version(tmp_path):
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    subprocess.run(
        [require("mosquitto_passwd", "mosquitto"), "-b", passwords, "line-3", "right"], check=True, timeout=60
    )
    with Broker(tmp_path, [f"password_file {passwords}", "allow_anonymous false"]) as broker:
        wrong, _ = make(broker, username="line-3", password="wrong")
        with running(wrong):
            wait_until(lambda: "refused" in wrong.status.error, 30.0, "the refusal")
            assert "uthor" in wrong.status.error
            assert not wrong.status.is_open
        right, _ = make(broker, username="line-3", password="right")
        with running(right):
            wait_until(lambda: right.status.is_open, 30.0, "connected")


def test_a_refused_subscription_is_shown_and_the_other_devices_go_on():
    # mosquitto refuses subscriptions only by plug-in, so the broker's side of this is a script: CONNACK, then for "a" and "b" a
    # SUBACK of granted and 0x87 (not authorized), then a message to "a".
    with socket.create_server(("127.0.0.1", 0)) as listener:
        source, buffer = make(SimpleNamespace(host="127.0.0.1", port=listener.getsockname()[1]), {"a": "a", "b": "b"})
        with running(source), listener.accept()[0] as client:
            client.recv(4096)
            client.sendall(b"\x20\x03\x00\x00\x00")
            subscribe = client.recv(4096)
            client.sendall(b"\x90\x05" + subscribe[2:4] + b"\x00\x01\x87" + b"\x30\x06\x00\x01a\x00hi")
            assert joined(collect(buffer, 2), "a") == b"hi"
            assert source.status.error == "the broker refused the subscription to b"
            assert source.status.failure("b") == "the broker refused the subscription to b"
            assert source.status.failure("a") is None
            assert source.status.is_open


def test_an_error_in_a_callback_ends_the_session_visibly_and_the_next_one_receives(broker, monkeypatch):
    source, buffer = make(broker)
    put, failures = buffer.put, []

    def fail_once(chunk):
        if not failures:
            failures.append(chunk)
            raise RuntimeError("broken handler")
        put(chunk)

    monkeypatch.setattr(buffer, "put", fail_once)
    with running(source):
        subscribed(broker, source)
        publish(broker, ("plant/d", b"one"))
        # Never acknowledged, so that the broker sends it again.
        assert joined(collect(buffer, 3), "d") == b"one"
        assert source.status.opened == 2
        assert "broken handler" in source.status.error


def test_a_flood_arrives_complete_and_in_order(broker):
    source, buffer = make(broker)
    with running(source):
        subscribed(broker, source)
        publish(broker, *[("plant/d", b"%05d" % i) for i in range(5_000)])
        data = joined(collect(buffer, 25_000, 30.0), "d")
    assert data == b"".join(b"%05d" % i for i in range(5_000))


def _descriptors():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_reconnecting_leaks_no_descriptors(broker):
    source, _ = make(broker)
    with running(source):
        subscribed(broker, source)
        before = _descriptors()
        for count in range(2, 5):
            broker.kill()
            broker.start()
            subscribed(broker, source, count)
        wait_until(lambda: _descriptors() <= before, 30.0, "no more descriptors than before")


def test_overlapping_filters_on_one_connection_are_refused():
    connection = Connection(Address("localhost", 1883, tls=False))
    with pytest.raises(ValueError, match="overlapping"):
        MqttSource(connection, {"a": "x/+", "b": "x/1"}, "c", ChunkBuffer(1), SystemClock())


def test_tls_delivers_what_lies_decrypted_and_refuses_a_stranger(tmp_path):
    authority = Authority(tmp_path)
    certificate, key = authority.issue("broker", address="127.0.0.1")
    with Broker(tmp_path, [f"certfile {certificate}", f"keyfile {key}"]) as broker:
        source, buffer = make(broker, tls=True, ca=authority.ca)
        stranger, _ = make(broker, client_id="stranger", tls=True)
        with running(source), running(stranger):
            subscribed(broker, source)
            # Many small messages share a TLS record, so most never wake poll().
            messages = [("plant/d", b"%03d" % i) for i in range(500)]
            publish(broker, *messages, tls={"ca_certs": str(authority.ca)})
            assert joined(collect(buffer, 1500), "d") == b"".join(payload for _, payload in messages)
            wait_until(lambda: "CERTIFICATE_VERIFY_FAILED" in stranger.status.error, 30.0, "the stranger refused")


def test_a_broker_that_wants_a_certificate_is_quoted(tmp_path):
    authority = Authority(tmp_path)
    certificate, key = authority.issue("broker", address="127.0.0.1")
    asks = [f"cafile {authority.ca}", f"certfile {certificate}", f"keyfile {key}", "require_certificate true"]
    with Broker(tmp_path, asks) as broker:
        source, _ = make(broker, tls=True, ca=authority.ca)
        with running(source):
            wait_until(lambda: "certificate required" in source.status.error, 30.0, "the broker's words")


class OldBroker:
    """Answers a v5 handshake with `answer` and hangs up, and speaks 3.1.1 as mosquitto does, behind which it stands."""

    def __init__(self, broker, answer):
        self._broker, self._answer = broker, answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.2)
        self.host, self.port = self._listener.getsockname()
        self._stop = threading.Event()
        self._sides = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self):
        while not self._stop.is_set():
            try:
                client = self._listener.accept()[0]
            except TimeoutError:
                continue
            first = client.recv(4096)
            if not first:  # it was given up before it said anything
                client.close()
                continue
            if first[8] == 5:  # protocol level, behind fixed header (2) and the name "MQTT" (6)
                client.sendall(self._answer)
                client.close()
                continue
            server = socket.create_connection((self._broker.host, self._broker.port))
            server.sendall(first)
            self._sides += [client, server]
            for a, b in ((client, server), (server, client)):
                self._threads.append(threading.Thread(target=self._pump, args=(a, b)))
                self._threads[-1].start()

    def _pump(self, source, sink):
        with contextlib.suppress(OSError):  # the other side has hung up
            while data := source.recv(4096):
                sink.sendall(data)
        for side in (source, sink):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def close(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(30.0)
        for each in (self._listener, *self._sides):
            each.close()


@pytest.mark.parametrize(
    "answer", [b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00", b""], ids=["3.1.1 code 1", "v5 code 0x84", "hangs up"]
)
def test_a_broker_without_v5_is_spoken_to_in_3_1_1(broker, answer):
    old = OldBroker(broker, answer)
    source, buffer = make(old)
    try:
        with running(source):
            subscribed(broker, source)
            publish(broker, ("plant/d", b"hello"))
            assert joined(collect(buffer, 5), "d") == b"hello"
            assert source._protocol == mqtt.MQTTv311
    finally:
        old.close()


def test_a_port_that_accepts_and_says_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr(mqtt_topic, "_HANDSHAKE_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = Connection(Address(*listener.getsockname(), tls=False))
        source = MqttSource(connection, {"d": "x"}, "c", ChunkBuffer(100), SystemClock())
        started = time.monotonic()
        with running(source):
            wait_until(lambda: "does not answer" in source.status.error, 30.0, "given up")
        assert time.monotonic() - started < 5.0


def test_a_sparkplug_node_is_read_from_its_birth_through_a_real_broker(broker):
    profile = shipped("sparkplug-node")
    encoder, decoder = Encoder(profile), Decoder(profile, "d")
    rows = [[float(10 * row + column) for column in range(len(profile.channel))] for row in range(5)]
    step_ns = round(1e9 / profile.rate_hz)
    messages = [
        message
        for row, values in enumerate(rows)
        for message in encoder.messages(values, T0 + row * step_ns, "plant/node")
    ]
    assert messages[0][0].split("/")[2] == "NBIRTH"
    source, buffer = make(broker, {"d": "spBv1.0/plant/#"})
    with running(source):
        subscribed(broker, source)
        publish(broker, *messages, qos=0)
        chunks = collect(buffer, sum(len(payload) for _, payload in messages))
    batch = decoder.feed(chunks)
    assert batch is not None
    assert decoder.counters["unborn"] == decoder.counters["lost"] == 0
    seen = {t_ns: np.nanmax(batch.values[batch.t_ns == t_ns], axis=0).tolist() for t_ns in batch.t_ns.tolist()}
    assert list(seen.values())[-len(rows) :] == rows
