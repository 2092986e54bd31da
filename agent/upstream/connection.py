"""One MQTT connection, from CONNECT to its end, over paho's external loop; it is never mended, the next one is fresh."""

from __future__ import annotations

import select
import ssl
from collections.abc import Callable, Sequence
from typing import NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.errors import LinkError
from agent.upstream.payloads import OFFLINE
from agent.upstream.settings import LinkSettings
from agent.upstream.socket_failures import SocketFailures, in_words
from agent.upstream.version import Version
from agent.upstream.waiting import Outgoing

_PROTOCOLS = {Version.V5: MQTTProtocolVersion.MQTTv5, Version.V311: MQTTProtocolVersion.MQTTv311}
_CONNECT_TIMEOUT_S = 5.0
_UNSUPPORTED_VERSION = 0x84
_KEEP_ALIVE_TIMEOUT = 0x8D
_PACKET_TOO_LARGE = 0x95
# MQTT v5, 3.4.2.1: not authorised, topic name invalid, quota exceeded speak of the topic or the client, not the message.
_WHOLE_TOPIC = frozenset({0x87, 0x90, 0x97})
_MAX_PACKET_BYTES = 268_435_455
_LARGEST_INCOMING_BYTES = 64 * 1024
# A broker of MQTT 3.1.1 cannot be told the former, and another may not keep to it; paho would hold up to 256 MB.
_LARGEST_TOLERATED_BYTES = 1024 * 1024
_MOST_INCOMING = 20


class VersionRefusedError(LinkError):
    """The broker said that it does not speak this version of MQTT."""


class ClosedEarlyError(LinkError):
    """The broker ended the connection instead of answering CONNECT, as some do on a version that they do not know."""


class PacketTooLargeError(LinkError):
    """The broker ended the connection over the size of a packet."""


class Accepted(NamedTuple):
    """What the broker granted in CONNACK."""

    receive_maximum: int
    maximum_packet_bytes: int


class Refusal(NamedTuple):
    """Why the broker does not take a message; `whole_topic` where no other on that topic would fare better."""

    reason: str
    whole_topic: bool


class Incoming(NamedTuple):
    """A message that somebody else published; the last two are MQTT v5's."""

    topic: str
    payload: bytes
    retained: bool
    response_topic: str | None
    correlation: bytes | None


def hears(topic_filter: str, topic: str) -> bool:
    """Whether what is published on `topic` comes to whoever subscribed to `topic_filter`."""
    return mqtt.topic_matches_sub(topic_filter, topic)


class Connection:
    """For one thread. `on_ack(mid, refusal)` is called within `turn`, with None where the broker has the message, and `on_message` with
    what comes on a topic that was subscribed to.
    """

    def __init__(
        self,
        settings: LinkSettings,
        version: Version,
        on_ack: Callable[[int, Refusal | None], None],
        on_message: Callable[[Incoming], None] = lambda _: None,
    ) -> None:
        self.accepted: Accepted | None = None
        self._settings = settings
        self._version = version
        self._on_ack = on_ack
        self._on_message = on_message
        self.deaf: dict[str, Refusal] = {}  # filters on which the broker lets us hear nothing, and why
        self._subscribing: dict[int, str] = {}  # by message id
        self._refused: ReasonCode | None = None
        self._ended_by: ReasonCode | None = None
        self._failures = SocketFailures()
        self._client = self._make_client()

    def open(self) -> None:
        """Connect and send CONNECT; `accepted` is set by a later `turn`. Raises LinkError."""
        host, port = self._settings.host, self._settings.port
        if self._settings.tls is not None:
            self._client.tls_set_context(self._settings.tls.context())
        try:
            self._client.connect(
                host, port, keepalive=self._settings.keepalive_s, properties=self._connect_properties()
            )
        except ssl.SSLCertVerificationError as error:
            raise LinkError(f"{host}:{port} is not trusted: {error.verify_message}") from error
        except ssl.SSLError as error:
            raise LinkError(f"{host}:{port} cannot be reached: {in_words(error)}") from error
        except (OSError, ValueError) as error:
            raise LinkError(f"{host}:{port} cannot be reached: {error}") from error

    def subscribe(self, topic_filter: str, *, retained: bool) -> None:
        """Hear what others publish there, and what the broker retains of it where `retained`; our own words are not asked for."""
        if self._version is Version.V5:
            handling = SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE if retained else SubscribeOptions.RETAIN_DO_NOT_SEND
            options = SubscribeOptions(qos=1, noLocal=True, retainAsPublished=True, retainHandling=handling)
            code, mid = self._client.subscribe(topic_filter, options=options)
        else:
            code, mid = self._client.subscribe(topic_filter, qos=1)
        self._check(code)
        if mid is not None:
            self._subscribing[mid] = topic_filter

    def publish(self, outgoing: Outgoing) -> int | Refusal:
        """Send with QoS 1 and return the message id that `on_ack` will name, or why it cannot be sent at all."""
        assert self.accepted is not None, "publish comes after CONNACK"
        most_bytes = self.accepted.maximum_packet_bytes
        if outgoing.packet_bytes > most_bytes:
            return Refusal(f"larger than the broker's maximum of {most_bytes} bytes", whole_topic=False)
        try:
            info = self._client.publish(
                outgoing.topic, outgoing.payload, qos=1, retain=outgoing.retain, properties=self._properties(outgoing)
            )
        except ValueError as error:
            return Refusal(f"not a message that MQTT can carry: {error}", whole_topic=False)
        self._check(info.rc)
        return info.mid

    def turn(self, wake_fd: int, timeout_s: float) -> None:
        """Wait for the network, `wake_fd` or the time, and do what the network brought; raises LinkError at the end."""
        sock = self._client.socket()
        if sock is None:
            raise self._end(MQTTErrorCode.MQTT_ERR_NO_CONN)
        encrypted = isinstance(sock, ssl.SSLSocket)
        # Bytes that TLS has decrypted already do not make the socket readable.
        decrypted = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        poller = select.poll()
        poller.register(wake_fd, select.POLLIN)
        poller.register(sock.fileno(), select.POLLIN | (select.POLLOUT if self._client.want_write() else 0))
        ready = dict(poller.poll(0 if decrypted else int(timeout_s * 1000)))
        if encrypted or ready.get(sock.fileno(), 0) & ~select.POLLOUT:
            self._check(self._client.loop_read())
            self._require_bounded()
        if self._client.want_write():
            self._check(self._client.loop_write())
        self._check(self._client.loop_misc())

    def disconnect(self) -> None:
        """Say DISCONNECT, which keeps the broker from publishing the will."""
        self._client.disconnect()

    def close(self) -> None:
        """Drop the socket; without a `disconnect` before, the broker publishes the will."""
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    def _make_client(self) -> mqtt.Client:
        settings = self._settings
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            protocol=_PROTOCOLS[self._version],
            clean_session=None if self._version is Version.V5 else True,
            reconnect_on_failure=False,
        )
        client.connect_timeout = _CONNECT_TIMEOUT_S
        # The link keeps to the receive maximum itself, state topics included.
        client.max_inflight_messages = 0
        client.will_set(settings.availability_topic, OFFLINE, qos=1, retain=True)
        if settings.username is not None:
            client.username_pw_set(settings.username, settings.password)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_incoming
        client.on_socket_close = lambda _client, _data, sock: self._failures.read_last_words(sock)
        client.enable_logger(self._failures.logger)
        return client

    def _connect_properties(self) -> Properties | None:
        """A bound on what anybody can make us hold: larger messages stay at the broker."""
        if self._version is not Version.V5:
            return None
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = _LARGEST_INCOMING_BYTES
        properties.ReceiveMaximum = _MOST_INCOMING
        return properties

    def _on_connect(
        self, _client: object, _data: object, _flags: object, reason: ReasonCode, granted: Properties | None
    ) -> None:
        if reason.is_failure:
            self._refused = reason
            return
        self.accepted = Accepted(
            getattr(granted, "ReceiveMaximum", 65_535), getattr(granted, "MaximumPacketSize", _MAX_PACKET_BYTES)
        )

    def _on_disconnect(
        self, _client: object, _data: object, _flags: object, reason: ReasonCode, _props: object
    ) -> None:
        self._ended_by = reason

    def _on_publish(self, _client: object, _data: object, mid: int, reason: ReasonCode, _props: object) -> None:
        refusal = (
            Refusal(f"{reason} (0x{reason.value:02X})", reason.value in _WHOLE_TOPIC) if reason.is_failure else None
        )
        self._on_ack(mid, refusal)

    def _on_subscribe(
        self, _client: object, _data: object, mid: int, reasons: Sequence[ReasonCode], _props: object
    ) -> None:
        topic_filter = self._subscribing.pop(mid)
        refused = next((str(reason) for reason in reasons if reason.is_failure), None)
        if refused is not None:
            self.deaf[topic_filter] = Refusal(refused, whole_topic=True)

    def _on_incoming(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:  # the broker should not have passed it on
            return
        properties = message.properties
        self._on_message(
            Incoming(
                topic,
                bytes(message.payload),
                bool(message.retain),
                getattr(properties, "ResponseTopic", None),
                getattr(properties, "CorrelationData", None),
            )
        )

    def _properties(self, outgoing: Outgoing) -> Properties | None:
        if self._version is not Version.V5:
            return None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if outgoing.expiry_s is not None:
            properties.MessageExpiryInterval = outgoing.expiry_s
        if outgoing.correlation is not None:
            properties.CorrelationData = outgoing.correlation
        return properties

    def _require_bounded(self) -> None:
        coming_bytes = self._client._in_packet["remaining_length"]  # noqa: SLF001 - paho has no bound of its own
        if coming_bytes > _LARGEST_TOLERATED_BYTES:
            raise LinkError(
                f"{self._where} sends a packet of {coming_bytes} bytes: {_LARGEST_TOLERATED_BYTES} is the most"
            )

    def _check(self, code: MQTTErrorCode) -> None:
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or self._client.socket() is None:
            raise self._end(code)

    @property
    def _where(self) -> str:
        return f"{self._settings.host}:{self._settings.port}"

    def _end(self, code: MQTTErrorCode) -> LinkError:
        failure = self._failures.latest
        ended_by = None if self._ended_by is None else self._ended_by.value
        if self._refused is not None:
            kind = VersionRefusedError if self._refused.value == _UNSUPPORTED_VERSION else LinkError
            return kind(f"{self._where} refused the connection: {self._refused}")
        if isinstance(failure, ssl.SSLError):
            return LinkError(f"{self._where} refused the connection: {in_words(failure)}")
        if self.accepted is None and ended_by == _KEEP_ALIVE_TIMEOUT:
            return self.unanswered()
        if self.accepted is None:
            return ClosedEarlyError(f"{self._where} closed the connection without an answer")
        kind = PacketTooLargeError if ended_by == _PACKET_TOO_LARGE else LinkError
        return kind(f"{self._where} ended the connection: {failure or self._ended_by or mqtt.error_string(code)}")

    def unanswered(self) -> ClosedEarlyError:
        """What to raise where CONNACK does not come."""
        return ClosedEarlyError(f"{self._where} does not answer CONNECT")
