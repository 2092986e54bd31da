"""MQTT's bytes: where packets end in a stream, where a cut lies in one, and the packets that a broker sends."""

from __future__ import annotations

from collections.abc import Callable

TYPES = {"CONNECT": 1, "CONNACK": 2, "PUBLISH": 3, "PUBACK": 4, "SUBSCRIBE": 8, "PINGREQ": 12, "DISCONNECT": 14}
_NAMES = {number: name for name, number in TYPES.items()}

# How many bytes of a packet of so many come through before the cable breaks.
Where = Callable[[int], int]
WHERE: dict[str, Where] = {
    "nothing": lambda _: 0,
    "type": lambda _: 1,
    "length": lambda _: 2,
    "header": lambda _: 3,
    "half": lambda size: size // 2,
    "all but a byte": lambda size: size - 1,
    "all": lambda size: size,
}


class Packets:
    """Cuts a stream of bytes into whole packets."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The packets that `data` completes."""
        self._held += data
        whole = []
        while (size := _size(self._held)) is not None and size <= len(self._held):
            whole.append(bytes(self._held[:size]))
            del self._held[:size]
        return whole


class Cut:
    """Breaks one direction of a connection within its `nth` packet of a type."""

    def __init__(self, name: str, where: Where, nth: int = 1) -> None:
        self.from_broker = name in {"CONNACK", "PUBACK"}
        self._name, self._where, self._left = name, where, nth
        self._packets = Packets()

    def passing(self, data: bytes) -> tuple[bytes, bool]:
        """What still comes through of whole packets, and whether that was the last of it."""
        through = bytearray()
        for packet in self._packets.feed(data):
            self._left -= name_of(packet) == self._name
            if self._left == 0:
                return bytes(through + packet[: self._where(len(packet))]), True
            through += packet
        return bytes(through), False


def name_of(packet: bytes) -> str:
    """Its type."""
    return _NAMES[packet[0] >> 4]


def _size(data: bytearray) -> int | None:
    """Of the packet that begins here; None where its length is not known yet (MQTT v5, 1.5.5)."""
    size = 0
    for place, byte in enumerate(data[1:5]):
        size |= (byte & 127) << (7 * place)
        if byte < 128:
            return 2 + place + size
    return None


def packet(name: str, body: bytes, flags: int = 0) -> bytes:
    """A packet with a body of less than 128 bytes."""
    assert len(body) < 128, "one byte of length is enough here"
    return bytes([TYPES[name] << 4 | flags, len(body)]) + body


def connack(reason: int = 0, properties: bytes = b"") -> bytes:
    """MQTT v5, 3.2."""
    return packet("CONNACK", bytes([0, reason, len(properties)]) + properties)


def puback(message_id: bytes, reason: int = 0) -> bytes:
    """MQTT v5, 3.4."""
    return packet("PUBACK", message_id + bytes([reason, 0]))


def disconnect(reason: int) -> bytes:
    """MQTT v5, 3.14."""
    return packet("DISCONNECT", bytes([reason, 0]))


def published(data: bytes) -> tuple[str, bytes, bytes]:
    """Topic, message id and payload of a PUBLISH at QoS 1 of MQTT v5 (3.3)."""
    place = 2 + next(n for n, byte in enumerate(data[1:5]) if byte < 128)
    topic_bytes = int.from_bytes(data[place : place + 2], "big")
    place += 2 + topic_bytes
    topic, message_id = data[place - topic_bytes : place].decode(), data[place : place + 2]
    return topic, message_id, data[place + 3 + data[place + 2] :]
