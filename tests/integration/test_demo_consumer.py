"""The demo's consumer hears what is new, ignores what an earlier agent left, and takes retained topics away again."""

import socket

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from agent.demo.broker import embedded_broker
from agent.demo.consumer import Consumer, Heard
from agent.errors import LinkError

TIMEOUT_S = 30.0


@pytest.fixture
def broker(tmp_path):
    with embedded_broker(tmp_path) as address:
        yield address


@pytest.fixture
def publish(broker):
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.connect(*broker)
    client.loop_start()
    yield lambda *message: client.publish(*message).wait_for_publish(TIMEOUT_S)
    client.disconnect()
    client.loop_stop()


def test_messages_come_in_order_and_old_retained_ones_not_at_all(broker, publish):
    publish("stethos/demo/availability", b"stopped", 1, True)
    with Consumer(broker, "stethos/demo") as consumer:
        publish("stethos/demo/machine/m/alarm", b"{}", 1)
        publish("stethos/other/availability", b"stopped", 1)
        publish("stethos/demo/availability", b"online", 1, True)
        publish("stethos/demo/availability", b"stopped", 1, True)
        heard = consumer.wait_for("availability", b"stopped", TIMEOUT_S)
    assert heard == [
        Heard("machine/m/alarm", b"{}"),
        Heard("availability", b"online"),
        Heard("availability", b"stopped"),
    ]


def test_a_message_that_does_not_come_is_an_error(broker):
    with Consumer(broker, "stethos/demo") as consumer, pytest.raises(LinkError, match="'stopped' did not come"):
        consumer.wait_for("availability", b"stopped", 0.1)


def test_retained_topics_are_taken_off_the_broker(broker, publish):
    with Consumer(broker, "stethos/demo") as consumer:
        publish("stethos/demo/machine/m/alarms", b"[]", 1, True)
        publish("stethos/demo/end", b"", 1)
        consumer.wait_for("end", b"", TIMEOUT_S)
        consumer.clear_retained()
    seen = []
    late = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    late.on_connect = lambda client, *_: client.subscribe("stethos/#", 1)
    late.on_subscribe = lambda client, *_: client.publish("stethos/last", b"", 1)
    late.on_message = lambda client, _data, message: (seen.append(message.topic), client.disconnect())
    late.connect(*broker)
    late.loop_forever()
    assert seen == ["stethos/last"]


def test_no_broker_is_an_error_that_names_the_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = probe.getsockname()
        with pytest.raises(LinkError, match=f"127.0.0.1:{address[1]}"), Consumer(address, "stethos/demo"):
            pass
