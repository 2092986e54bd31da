"""MQTT messages a second from the broker to windows, beside a bare paho loop that drops what it receives."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from agent.clock import SystemClock
from agent.config.broker import parse_broker
from agent.config.checked import Connection
from agent.decode.decoder import Decoder
from agent.decode.profile import parse_profile
from agent.sources.mqtt_topic import MqttSource
from agent.window.aligner import Aligner
from agent.window.contract import Contract, ContractChannel
from tests.bench import fleet
from tests.bench.figures import Figure, significant
from tests.bench.mqtt_flood import flood, packet, race
from tests.bench.reading import Reader
from tests.harness.broker import Broker

_MESSAGES = 40_000
_STREAMS = 10
_ROUNDS = 7


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder, flood(Path(folder), _packets()) as flooded:
        found, cpu = race(
            lambda number: flooded.read(_reader(flooded.broker, number), _MESSAGES),
            lambda: flooded.drop("plant/#", _MESSAGES),
            _ROUNDS,
        )
    against = (
        f"bare paho loop: {found.bare:,.0f} messages/s and {cpu.bare:.0f} µs of processor time each, "
        f"here {found.ours:,.0f} and {cpu.ours:.0f} µs ({cpu.ratio:.2f} times); no message was lost"
    )
    yield Figure("mqtt_in.json", significant(found.ratio), "of bare speed", against, ">= 0.6")


def _reader(broker: Broker, number: int) -> Reader:
    devices = [fleet.device_name(stream) for stream in range(_STREAMS)]
    filters = {device: fleet.topic(stream) for stream, device in enumerate(devices)}
    connection = Connection(parse_broker(broker.url))
    profile = parse_profile(fleet.PROFILE, "node.toml")
    channels = [ContractChannel(name=name, unit="1") for name in fleet.NAMES]
    contract = Contract(channels=channels, rate_hz=fleet.RATE_HZ, window=fleet.WINDOW, hop=fleet.HOP)
    feeds = [(row, row) for row in range(fleet.CHANNELS)]
    return Reader(
        lambda buffer: MqttSource(connection, filters, f"bench-{number}", buffer, SystemClock()),
        {device: Decoder(profile, device) for device in devices},
        {device: Aligner(device, contract, {device: feeds}, 0) for device in devices},
    )


def _packets() -> Iterator[bytes]:
    """One sample of each stream in turn."""
    rows = fleet.signal(_MESSAGES // _STREAMS, seed=2)
    for n, row in enumerate(rows):
        sample = fleet.payload(n, row, fleet.START_NS + n * fleet.STEP_NS)
        for stream in range(_STREAMS):
            yield packet(fleet.topic(stream), sample)
