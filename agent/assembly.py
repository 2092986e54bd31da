"""The parts of a run, each made from the checked configuration; with `app` alone in naming the concrete adapters."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

from agent import __version__
from agent.alarm_points import alarms_of, yardstick_of
from agent.clock import Clock
from agent.config.checked import (
    Checked,
    CheckedDevice,
    CheckedMachine,
    Connection,
    ModbusPlace,
    SerialPlace,
    Subscription,
    TcpPlace,
)
from agent.decide.day import DAY_NS, Day
from agent.decide.explanation import Explainer
from agent.decide.summary import Summary
from agent.decode.decoder import Decoder
from agent.decode.profile import Profile
from agent.decode.startup import StartUp
from agent.pipeline import Machine, Pipeline
from agent.record.recorder import Recorder
from agent.sensors.watch import SensorWatch
from agent.sources.buffer import ChunkBuffer
from agent.sources.link import Source
from agent.sources.modbus_bus import ModbusBus
from agent.sources.mqtt_topic import MqttSource
from agent.sources.serial_port import SerialSource
from agent.sources.topics import connections
from agent.types import NANOSECONDS, Command
from agent.upstream.compose import Composer
from agent.upstream.documents import BundleReference
from agent.upstream.homeassistant import DiscoveredMachine, Discovery
from agent.upstream.settings import LinkSettings, Tls
from agent.upstream.topics import Topics
from agent.window.aligner import Aligner

# A device may lag the others of its machine by two cells, and by this at least, before they go on without it.
LATENESS_NS = 2 * NANOSECONDS


def pipeline_of(
    profiles: Mapping[str, Profile],
    machines: Mapping[str, CheckedMachine],
    composer: Composer,
    tell: Mapping[str, Callable[[Command], None]] | None = None,
) -> Pipeline:
    """The pipeline that reads devices with these profiles and watches these machines, at its very beginning."""
    decoders = {device: Decoder(profile, device) for device, profile in profiles.items()}
    watches = {device: SensorWatch(profile) for device, profile in profiles.items()}
    disorder_ns = {device: round(profile.time.max_disorder_s * NANOSECONDS) for device, profile in profiles.items()}
    actions = {
        f"{device}.{channel.name}": action
        for device, profile in profiles.items()
        for channel in profile.channel
        if (action := channel.action or profile.action)
    }
    watched = [_machine(machine, disorder_ns, actions) for machine in machines.values()]
    return Pipeline(decoders, watches, watched, composer, tell)


def composer_of(topics: Topics, boot_id: str, machines: Mapping[str, CheckedMachine]) -> Composer:
    """The composer of a run's messages about these machines."""
    return Composer(topics, boot_id, {name: _bundle(machine) for name, machine in machines.items()})


def recorder_of(checked: Checked) -> Recorder | None:
    """What keeps the raw bytes, where that is wanted."""
    if checked.record is None or checked.config.record is None:
        return None
    return Recorder(checked.record, checked.config.record.max_bytes)


def _machine(machine: CheckedMachine, disorder_ns: Mapping[str, int], actions: Mapping[str, str]) -> Machine:
    contract = machine.bundle.manifest.contract
    feeds = machine.feeds
    names = [f"{channel.device}.{channel.channel}" for channel in machine.channels]
    units = [channel.unit for channel in contract.channels]
    explainer = Explainer(names, units, machine.channel_usual, machine.baseline, contract.rate_hz, actions)
    return Machine(
        id=machine.id,
        devices=list(feeds),
        aligner=Aligner(machine.id, contract, feeds, max(LATENESS_NS, 2 * contract.period_ns), disorder_ns),
        scorer=machine.session,
        yardstick=yardstick_of(machine),
        explainer=explainer,
        alarms=alarms_of(machine, explainer),
        group=machine.config.group,
        summary=Summary(machine.id, names, units, feeds, machine.summary_every_ns),
        day=Day([machine.judged_by, *names]) if machine.summary_every_ns < DAY_NS else None,
    )


def sources_of(
    agent_id: str, devices: Mapping[str, CheckedDevice], buffer: ChunkBuffer, clock: Clock
) -> tuple[dict[str, Source], Sequence[Source]]:
    """The source that reads each device, and every source once."""
    source_of: dict[str, Source] = {}
    subscriptions: list[tuple[str, Subscription]] = []
    slaves: dict[SerialPlace | TcpPlace, dict[str, tuple[int, Profile]]] = {}
    for device in devices.values():
        if isinstance(device.place, SerialPlace):
            startup = StartUp(tuple(device.profile.startup), device.profile.silent_after_s)
            source_of[device.id] = SerialSource(device.id, device.place, buffer, clock, startup=startup)
        elif isinstance(device.place, ModbusPlace):
            slaves.setdefault(device.place.bus, {})[device.id] = (device.place.unit, device.profile)
        else:
            subscriptions.append((device.id, device.place))
    for bus, units in slaves.items():
        source_of.update(dict.fromkeys(units, ModbusBus(bus, units, buffer, clock)))
    for number, (connection, filters) in enumerate(connections(subscriptions)):
        client_id = f"stethos-{agent_id}-in-{number}"
        source = MqttSource(connection, filters, client_id, buffer, clock)
        source_of.update(dict.fromkeys(filters, source))
    return source_of, list(dict.fromkeys(source_of.values()))


def discovery_of(checked: Checked, topics: Topics, pipeline: Pipeline) -> Discovery:
    """What Home Assistant is told of this agent."""
    machines = [
        DiscoveredMachine(
            id=machine.id,
            bundle=machine.bundle.manifest.name,
            bundle_version=machine.bundle.manifest.version,
            points=tuple(pipeline.machines[machine.id].alarms.points),
        )
        for machine in checked.machines.values()
    ]
    return Discovery(
        checked.config.homeassistant.prefix,
        topics,
        __version__,
        devices=tuple(checked.devices),
        machines=machines,
    )


def listeners_of(
    devices: Mapping[str, CheckedDevice], source_of: Mapping[str, Source]
) -> dict[str, Callable[[Command], None]]:
    """How to tell something to each device that the configuration allows it for."""
    return {
        name: functools.partial(source.request_rebirth, name)
        for name, source in source_of.items()
        if isinstance(source, MqttSource) and (mqtt := devices[name].config.mqtt) and mqtt.request_rebirth
    }


def link_settings_of(checked: Checked, topics: Topics) -> LinkSettings:
    """How the upstream broker is reached."""
    upstream: Connection = checked.upstream
    tls = Tls(upstream.ca, upstream.certificate, upstream.key) if upstream.broker.tls else None
    return LinkSettings(
        host=upstream.broker.host,
        port=upstream.broker.port,
        client_id=f"stethos-{checked.config.agent.id}",
        availability_topic=topics.availability,
        tls=tls,
        username=upstream.username,
        password=upstream.password,
        keepalive_s=checked.keepalive_s,
    )


def _bundle(machine: CheckedMachine) -> BundleReference:
    manifest = machine.bundle.manifest
    return BundleReference(name=manifest.name, version=manifest.version, sha256=machine.bundle.digest)
