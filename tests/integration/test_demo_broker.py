"""The demo's embedded broker does what the agent needs of a broker: MQTT v5 with will, retained and expiring messages."""

import queue
import socket
import time

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.demo.broker import embedded_broker

TIMEOUT_S = 30.0


@pytest.fixture
def connect(tmp_path):
    clients = []
    with embedded_broker(tmp_path) as address:

        def connect_client(name, will=None):
            seen = queue.Queue()
            client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5)
            client.on_message = lambda _client, _userdata, message: seen.put(message)
            client.on_subscribe = lambda *_: seen.put("subscribed")
            connected = queue.Queue()
            client.on_connect = lambda *_: connected.put(True)
            if will:
                client.will_set(*will)
            client.connect(*address)
            client.loop_start()
            clients.append(client)
            connected.get(timeout=TIMEOUT_S)
            return client, seen

        def subscribe(name, topic):
            client, seen = connect_client(name)
            client.subscribe(topic, qos=1)
            assert seen.get(timeout=TIMEOUT_S) == "subscribed"
            return seen

        connect_client.subscribe = subscribe
        yield connect_client
        for client in clients:
            client.loop_stop()


def test_a_retained_message_is_kept_until_it_expires(connect):
    sender, _ = connect("sender")
    early, seen = connect("early")
    expiring = Properties(PacketTypes.PUBLISH)
    expiring.MessageExpiryInterval = 3
    sender.publish("base/stays", b"1", qos=1, retain=True).wait_for_publish(TIMEOUT_S)
    sender.publish("base/goes", b"2", qos=1, retain=True, properties=expiring).wait_for_publish(TIMEOUT_S)
    early.subscribe("base/#", qos=1)
    assert seen.get(timeout=TIMEOUT_S) == "subscribed"
    assert {seen.get(timeout=TIMEOUT_S).topic for _ in range(2)} == {"base/stays", "base/goes"}
    time.sleep(4.0)
    late = connect.subscribe("late", "base/#")
    message = late.get(timeout=TIMEOUT_S)
    assert (message.topic, message.payload, message.retain) == ("base/stays", b"1", True)
    assert late.empty()


def test_the_will_of_a_lost_client_is_published(connect):
    lost, _ = connect("lost", will=("base/availability", b"offline", 1, True))
    seen = connect.subscribe("witness", "base/#")
    lost.socket().shutdown(socket.SHUT_RDWR)
    assert seen.get(timeout=TIMEOUT_S).payload == b"offline"


def test_the_broker_ends_with_its_block(tmp_path):
    with embedded_broker(tmp_path) as address:
        socket.create_connection(address, timeout=TIMEOUT_S).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=TIMEOUT_S)
