"""A Sparkplug B edge node, and its payloads by Google's protobuf library from the specification's field table (section 6.4.1)."""

from __future__ import annotations

import threading
import time
from typing import Any, Self

import paho.mqtt.client as mqtt
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from paho.mqtt.enums import CallbackAPIVersion

_KIND = descriptor_pb2.FieldDescriptorProto
# message: field name -> number, type; a "*" repeats it, and a name of another message nests that one.
_TABLE: dict[str, dict[str, tuple[int, str]]] = {
    "PropertyValue": {
        "type": (1, "uint32"), "is_null": (2, "bool"), "int_value": (3, "uint32"), "long_value": (4, "uint64"),
        "float_value": (5, "float"), "double_value": (6, "double"), "boolean_value": (7, "bool"), "string_value": (8, "string"),
    },
    "PropertySet": {"keys": (1, "string*"), "values": (2, "PropertyValue*")},
    "MetaData": {"content_type": (2, "string"), "size": (3, "uint64"), "description": (8, "string")},
    "Metric": {
        "name": (1, "string"), "alias": (2, "uint64"), "timestamp": (3, "uint64"), "datatype": (4, "uint32"),
        "is_historical": (5, "bool"), "is_transient": (6, "bool"), "is_null": (7, "bool"), "metadata": (8, "MetaData"),
        "properties": (9, "PropertySet"), "int_value": (10, "uint32"), "long_value": (11, "uint64"),
        "float_value": (12, "float"), "double_value": (13, "double"), "boolean_value": (14, "bool"),
        "string_value": (15, "string"), "bytes_value": (16, "bytes"),
    },
    "Payload": {
        "timestamp": (1, "uint64"), "metrics": (2, "Metric*"), "seq": (3, "uint64"), "uuid": (4, "string"), "body": (5, "bytes"),
    },
}  # fmt: skip


def _payload_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="sparkplug_peer.proto", package="peer", syntax="proto2")
    for name, fields in _TABLE.items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind) in fields.items():
            field = message.field.add(name=field_name, number=number)
            field.label = _KIND.LABEL_REPEATED if kind.endswith("*") else _KIND.LABEL_OPTIONAL
            plain = kind.rstrip("*")
            if plain in _TABLE:
                field.type, field.type_name = _KIND.TYPE_MESSAGE, f".peer.{plain}"
            else:
                field.type = getattr(_KIND, f"TYPE_{plain.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("peer.Payload"))


Payload = _payload_class()


def payload(*metrics: dict[str, Any], **fields: Any) -> bytes:
    """A payload of `metrics`, each with its protobuf fields; a metric's `properties` are given as a plain dict."""
    message = Payload(**fields)
    for metric in metrics:
        properties = metric.pop("properties", {})
        added = message.metrics.add(**metric)
        for key, value in properties.items():
            added.properties.keys.append(key)
            if isinstance(value, str):
                added.properties.values.add(type=12, string_value=value)
            else:
                added.properties.values.add(type=3, int_value=value)
    return bytes(message.SerializeToString())


class EdgeNode:
    """The node plant/node of the profile sparkplug-node, which was born before anybody listened: it tells its births only when asked.

    `commands` are the payloads of the commands that it got.
    """

    def __init__(self, host: str, port: int) -> None:
        self.commands: list[Any] = []
        self._address = (host, port)
        self._seq = 0
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe("spBv1.0/plant/NCMD/node")
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _client, _data, message: self._obey(message.payload)

    def temperature(self, value: float) -> None:
        """Tell a reading by its alias alone, at QoS 0."""
        self._send("NDATA/node", {"alias": 1, "double_value": value, "timestamp": time.time_ns() // 1_000_000})

    def __enter__(self) -> Self:
        self._client.connect(*self._address)
        self._client.loop_start()
        assert self._subscribed.wait(30), "the node is not subscribed to its commands"
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _obey(self, data: bytes) -> None:
        command = Payload.FromString(data)
        self.commands.append(command)
        asked = [metric.boolean_value for metric in command.metrics if metric.name == "Node Control/Rebirth"]
        if asked == [True]:
            self._seq = 0
            self._send(
                "NBIRTH/node",
                {"name": "bdSeq", "datatype": 8, "long_value": 0},
                {"name": "Properties/Temperature", "alias": 1, "datatype": 10, "double_value": 20.0},
            )
            pump = [{"name": name, "alias": alias, "datatype": 10, "double_value": 1.0}
                    for alias, name in ((2, "Inputs/Current"), (3, "Inputs/Pressure"), (4, "Outputs/Running"))]  # fmt: skip
            self._send("DBIRTH/node/pump", *pump)

    def _send(self, topic: str, *metrics: dict[str, Any]) -> None:
        data = payload(*metrics, seq=self._seq % 256, timestamp=time.time_ns() // 1_000_000)
        self._seq += 1
        self._client.publish(f"spBv1.0/plant/{topic}", data)
