"""MQTT topics as a source: one connection of our own to a broker, whose session outlives our restarts."""

from __future__ import annotations

import logging
import select
import ssl
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.attempt import attempt
from agent.clock import Clock
from agent.config.checked import Connection
from agent.errors import LinkError
from agent.metrics import Counters
from agent.sources.buffer import ChunkBuffer
from agent.sources.link import LinkStatus, keep_open
from agent.sources.topics import Router, fits
from agent.types import NANOSECONDS, Chunk, Command
from agent.upstream.socket_failures import SocketFailures

log = logging.getLogger(__name__)

_RECONNECT_CAP_S = 10.0
_HANDSHAKE_TIMEOUT_S = 5.0
_POLL_MS = 500
_KEEPALIVE_S = 20
# For how long the broker keeps QoS 1 messages while we are away.
_SESSION_EXPIRY_S = 3_600
_UNSUPPORTED_PROTOCOL = 0x84
# So that a flood of messages does not keep us from the ping that the broker waits for.
_DRAIN_PACKETS = 1_000
_MAX_COMMANDS = 64


class MqttSource:
    """The devices of one broker: `filters` gives each device's topic filter; different filters must not overlap.

    status.counters: retained (a stored value is old news, no sample), unmatched (topics that no filter asks for, as from an older
    configuration of this session). status.device_counters: rebirths_requested (sent), rebirths_dropped (the connection was down).
    """

    def __init__(
        self, connection: Connection, filters: Mapping[str, str], client_id: str, buffer: ChunkBuffer, clock: Clock
    ) -> None:
        self.name = f"mqtt {connection.broker.host}:{connection.broker.port}"
        self.status = LinkStatus()
        self._connection = connection
        self._filter_of = dict(filters)
        self._filters = sorted(set(filters.values()))
        if not all(fits(topic, self._filters) for topic in self._filters):
            raise ValueError(f"overlapping filters {self._filters} need a connection each: see topics.connections")
        self._router = Router(filters)
        self._client_id = client_id
        self._buffer = buffer
        self._clock = clock
        self._protocol = MQTTProtocolVersion.MQTTv5
        self._refused_v5 = False
        self._connected = False
        self._end: str | None = None  # why the connection ended, or has to
        self._failures = SocketFailures()
        self._received = 0
        self._commands: deque[tuple[str, Command]] = deque()
        self._commanding = threading.Lock()  # over the queue, and the counters that both of its ends write

    def run(self, stop: threading.Event) -> None:
        """Receive until `stop` is set."""
        keep_open(self.name, self.status, lambda: self._session(stop), stop, _RECONNECT_CAP_S)
        self._drop_commands()

    def request_rebirth(self, device: str, command: Command) -> None:
        """Have the reader's thread publish `command` within half a second; for the pipeline's thread, which never waits here.

        What finds no connection is dropped: a node that is still unborn after the next one is asked anew.
        """
        with self._commanding:
            if self.status.is_open and len(self._commands) < _MAX_COMMANDS:
                self._commands.append((device, command))
            else:
                self._count_command(device, "rebirths_dropped")

    def _session(self, stop: threading.Event) -> None:
        self._connected, self._end = False, None
        self._drop_commands()
        self._protocol = MQTTProtocolVersion.MQTTv311 if self._refused_v5 else MQTTProtocolVersion.MQTTv5
        self._refused_v5 = False
        client = self._client()
        if not attempt(f"{self.name} connect", lambda: self._connect(client), stop, lambda: _close(client)):
            return
        try:
            self._serve(client, stop)
        finally:
            _close(client)

    def _client(self) -> mqtt.Client:
        """A fresh client: after an error paho's own state is not to be trusted."""
        is_v5 = self._protocol == MQTTProtocolVersion.MQTTv5
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            self._client_id,
            clean_session=None if is_v5 else False,
            protocol=self._protocol,
            reconnect_on_failure=False,
        )
        client.connect_timeout = _HANDSHAKE_TIMEOUT_S
        self._failures = failures = SocketFailures()
        client.enable_logger(failures.logger)
        client.on_socket_close = lambda _client, _data, sock: failures.read_last_words(sock)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        connection = self._connection
        if connection.username is not None:
            client.username_pw_set(connection.username, connection.password)
        if connection.broker.tls:
            ca, certificate, key = (
                None if path is None else str(path) for path in (connection.ca, connection.certificate, connection.key)
            )
            try:
                client.tls_set(ca_certs=ca, certfile=certificate, keyfile=key)
            except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
                raise LinkError(f"cannot use the certificates: {error}") from error
        return client

    def _connect(self, client: mqtt.Client) -> None:
        broker = self._connection.broker
        try:
            if self._protocol == MQTTProtocolVersion.MQTTv5:
                session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
                session.SessionExpiryInterval = _SESSION_EXPIRY_S
                client.connect(broker.host, broker.port, _KEEPALIVE_S, clean_start=False, properties=session)
            else:
                client.connect(broker.host, broker.port, _KEEPALIVE_S)
        except (OSError, ValueError) as error:
            raise LinkError(f"cannot connect: {error}") from error

    def _serve(self, client: mqtt.Client, stop: threading.Event) -> None:
        """Move bytes until `stop` is set; raises LinkError when the connection ends."""
        socket = client.socket()
        poller = select.poll()
        misc_due_ns = handshake_ns = self._clock.monotonic_ns()
        while not stop.is_set() and socket is not None and self._end is None:
            poller.register(socket, select.POLLIN | (select.POLLOUT if client.want_write() else 0))
            # What TLS has decrypted already never wakes poll().
            waiting = isinstance(socket, ssl.SSLSocket) and socket.pending() > 0
            poller.poll(0 if waiting else _POLL_MS)
            self._drain(client)
            if self._commands:
                self._publish_commands(client)
            if client.want_write():
                client.loop_write()
            now_ns = self._clock.monotonic_ns()
            if now_ns >= misc_due_ns:
                client.loop_misc()
                misc_due_ns = now_ns + NANOSECONDS
            if not self._connected and now_ns - handshake_ns > _HANDSHAKE_TIMEOUT_S * NANOSECONDS:
                raise LinkError("the broker accepts connections but does not answer")
            socket = client.socket()
        if not stop.is_set():
            self._give_up()

    def _drain(self, client: mqtt.Client) -> None:
        """Read packets while they are messages: the loop_read that brings none has emptied the socket, or nearly."""
        for _ in range(_DRAIN_PACKETS):
            received = self._received
            client.loop_read()
            if received == self._received:
                return

    def _publish_commands(self, client: mqtt.Client) -> None:
        """At QoS 0, as Sparkplug wants it: a command that comes late is worse than none."""
        with self._commanding:
            while self._commands:
                device, command = self._commands.popleft()
                sent = client.publish(command.topic, command.payload, qos=0).rc == mqtt.MQTT_ERR_SUCCESS
                self._count_command(device, "rebirths_requested" if sent else "rebirths_dropped")

    def _drop_commands(self) -> None:
        with self._commanding:
            while self._commands:
                self._count_command(self._commands.popleft()[0], "rebirths_dropped")

    def _count_command(self, device: str, name: str) -> None:
        self.status.device_counters.setdefault(device, Counters()).add(name)

    def _give_up(self) -> None:
        if self._failures.alert is not None:
            raise LinkError(f"the broker refused the connection: {self._failures.alert}")
        # A broker that knows only 3.1.1 refuses a v5 handshake by a code or by hanging up.
        if not self._connected and self._end and not self._end.startswith("refused:"):
            self._refused_v5 = self._protocol == MQTTProtocolVersion.MQTTv5
        raise LinkError(self._end or "the connection was closed")

    def _on_connect(
        self, client: mqtt.Client, _userdata: Any, _flags: mqtt.ConnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        if reason.is_failure:
            unsupported = reason.value == _UNSUPPORTED_PROTOCOL
            self._end = "the broker does not speak this version of MQTT" if unsupported else f"refused: {reason}"
            return
        self._connected = True
        self.status.up()
        # Even in a kept session: it has the filters of the configuration that made it.
        if self._protocol == MQTTProtocolVersion.MQTTv5:
            unretained = SubscribeOptions(qos=1, noLocal=True, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
            client.subscribe([(topic, unretained) for topic in self._filters])
        else:
            client.subscribe([(topic, 1) for topic in self._filters])

    def _on_subscribe(
        self, _client: mqtt.Client, _userdata: Any, _mid: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        refused = [topic for topic, reason in zip(self._filters, reasons, strict=False) if reason.is_failure]
        what = "the broker refused the subscription to"
        self.status.faults = {
            device: f"{what} {topic}" for device, topic in self._filter_of.items() if topic in refused
        }
        if refused:  # the other devices of this connection go on
            self.status.error = f"{what} {', '.join(refused)}"
            log.error("%s: %s", self.name, self.status.error)

    def _on_disconnect(
        self, _client: mqtt.Client, _userdata: Any, _flags: mqtt.DisconnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        self._end = self._end or f"connection lost: {reason}"

    def _on_message(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        self._received += 1
        if message.retain:
            self.status.counters.add("retained")
            return
        try:
            topic = message.topic
            devices = self._router.devices(topic)
        except UnicodeDecodeError:
            devices, topic = (), ""
        if not devices:
            self.status.counters.add("unmatched")
        now_ns, monotonic_ns = self._clock.now_ns(), self._clock.monotonic_ns()
        for device in devices:
            self.status.last_arrival_ns[device] = monotonic_ns
            self._buffer.put(Chunk(device, bytes(message.payload), now_ns, topic, monotonic_ns))


def _close(client: mqtt.Client) -> None:
    client.disconnect()
    # paho closes the socket when the broker answers, for which nobody waits here.
    if (connected := client.socket()) is not None:
        connected.close()
