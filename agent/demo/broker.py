"""The demo's own MQTT broker: rumqttd, embedded in the wheel iotcore, in a process of its own on a free loopback port."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from agent.errors import ConfigError, LinkError, Problem

_START_TIMEOUT_S = 10.0
_CONFIG = """\
id = 0
[router]
id = 0
max_connections = 20
max_outgoing_packet_count = 200
max_segment_size = 1048576
max_segment_count = 10
[v5.1]
name = "demo"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 100
dynamic_filters = true
"""


@contextlib.contextmanager
def embedded_broker(folder: Path) -> Iterator[tuple[str, int]]:
    """Host and port of a running MQTT v5 broker, whose configuration is written to `folder`; it ends with the block.

    Raises ConfigError where iotcore is not installed and LinkError where the broker does not start.
    """
    try:
        from iotcore import Broker
    except ImportError as error:
        remedy = "run: pip install 'stethos[demo]', or name a broker with --broker HOST:PORT"
        raise ConfigError([Problem("demo", "the embedded broker iotcore is not installed", remedy)]) from error
    host, port = "127.0.0.1", _free_port()
    config = folder / "broker.toml"
    config.write_text(_CONFIG.format(port=port))
    broker = Broker(config_path=str(config))
    try:
        broker.start(_START_TIMEOUT_S)
    except (OSError, RuntimeError) as error:
        raise LinkError(f"the embedded broker did not start on {host}:{port}: {error}") from error
    try:
        yield host, port
    finally:
        broker.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
