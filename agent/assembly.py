"""The parts of a run, each made from the checked configuration; with `app` alone in naming the concrete adapters."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from agent import __version__
from agent.alarm_points import alarms_of, yardstick_of
from agent.bundles.inbox import Inbox
from agent.bundles.store import Store
from agent.clock import Clock
from agent.config.candidate import Prover
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
from agent.infer.slot import ScorerSlot
from agent.pipeline.machine import Machine, Model
from agent.pipeline.pipeline import Pipeline
from agent.record.recorder import Recorder
from agent.rollout.changes import Changes
from agent.rollout.fleet import Fleet
from agent.rollout.handover import Handover
from agent.rollout.observing import Observing
from agent.rollout.rollout import Rollout
from agent.rollout.shadow import ShadowThread
from agent.rollout.telling import Teller
from agent.rollout.trials import Trials
from agent.sensors.watch import SensorWatch
from agent.sources.buffer import ChunkBuffer
from agent.sources.link import Source
from agent.sources.modbus_bus import ModbusBus
from agent.sources.mqtt_topic import MqttSource
from agent.sources.serial_port import SerialSource
from agent.sources.topics import connections
from agent.timesync import trusted_now_ns
from agent.types import NANOSECONDS, Command
from agent.upstream.compose import Composer
from agent.upstream.documents import reference_of
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
    watched = [machine_of(machine, disorder_ns) for machine in machines.values()]
    return Pipeline(decoders, watches, watched, composer, tell)


def composer_of(topics: Topics, boot_id: str, machines: Mapping[str, CheckedMachine]) -> Composer:
    """The composer of a run's messages about these machines."""
    return Composer(topics, boot_id, {name: reference_of(machine.bundle) for name, machine in machines.items()})


def recorder_of(checked: Checked) -> Recorder | None:
    """What keeps the raw bytes, where that is wanted."""
    if checked.record is None or checked.config.record is None:
        return None
    return Recorder(checked.record, checked.config.record.max_bytes)


def model_of(machine: CheckedMachine) -> Model:
    """What of a machine's stages comes with its bundle."""
    contract = machine.bundle.manifest.contract
    units = [channel.unit for channel in contract.channels]
    explainer = Explainer(
        _names(machine), units, machine.channel_usual, machine.baseline, contract.rate_hz, machine.actions
    )
    return Model(
        machine=machine.id,
        bundle=reference_of(machine.bundle),
        contract=contract,
        scorer=machine.session,
        yardstick=yardstick_of(machine),
        explainer=explainer,
        alarms=alarms_of(machine, explainer),
    )


def machine_of(machine: CheckedMachine, disorder_ns: Mapping[str, int]) -> Machine:
    """A machine's stages, at their very beginning; `disorder_ns` is of its devices."""
    model, feeds = model_of(machine), machine.feeds
    contract, explainer = model.contract, model.explainer
    return Machine(
        id=machine.id,
        devices=list(feeds),
        aligner=Aligner(machine.id, contract, feeds, max(LATENESS_NS, 2 * contract.period_ns), disorder_ns),
        scorer=model.scorer,
        yardstick=model.yardstick,
        explainer=explainer,
        alarms=model.alarms,
        group=machine.config.group,
        summary=Summary(machine.id, explainer.names, explainer.units, feeds, machine.summary_every_ns),
        day=Day(explainer.names) if machine.summary_every_ns < DAY_NS else None,
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


@dataclass(frozen=True, slots=True)
class Bundles:
    """What exchanges the bundles of a running agent."""

    fleet: Fleet
    handover: Handover
    observing: Observing
    shadows: ShadowThread
    teller: Teller
    rollout: Rollout

    @property
    def sessions(self) -> list[ScorerSlot]:
        """All whose deadline somebody must enforce, each once."""
        sessions = [machine.session for machine in self.fleet.machines.values()]
        candidate = self.shadows.session
        return list({id(each): each for each in (*sessions, *([candidate] if candidate else []))}.values())


def bundles_of(
    checked: Checked,
    store: Store,
    teller: Teller,
    *,
    exchanged: Callable[[CheckedMachine], None],
    failed_steps: Callable[[], int],
    clock: Clock,
) -> Bundles:
    """What exchanges bundles; `exchanged` is told of each machine that another bundle watches, `failed_steps` counts the pipeline's."""
    handover, observing, shadows = Handover(), Observing(), ShadowThread()
    fleet = Fleet(checked.machines, model_of, handover.put, exchanged)
    profiles = {device.id: device.profile for device in checked.devices.values()}
    prover = Prover(checked.trust.trust, checked.inference, profiles, checked.state, trusted_now_ns)
    trials = Trials(
        fleet,
        prover,
        checked.bundles,
        observing=observing,
        shadows=shadows,
        failed_steps=failed_steps,
        clock=clock,
    )
    inbox = checked.bundles.inbox
    rollout = Rollout(
        store,
        fleet,
        Changes(store, prover, fleet, teller),
        trials,
        inbox=None if inbox is None else Inbox(inbox, checked.trust.trust.max_bytes, clock),
        arrival=checked.bundles.arrival,
    )
    return Bundles(fleet, handover, observing, shadows, teller, rollout)


def discovery_of(
    checked: Checked, machines: Mapping[str, CheckedMachine], topics: Topics, pipeline: Pipeline
) -> Discovery:
    """What Home Assistant is told of this agent; `machines` are as they are watched now."""
    discovered = [
        DiscoveredMachine(
            id=machine.id,
            bundle=machine.bundle.manifest.name,
            bundle_version=machine.bundle.manifest.version,
            points=tuple(pipeline.machines[machine.id].alarms.points),
        )
        for machine in machines.values()
    ]
    return Discovery(
        checked.config.homeassistant.prefix,
        topics,
        __version__,
        devices=tuple(checked.devices),
        machines=discovered,
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


def _names(machine: CheckedMachine) -> list[str]:
    return [f"{channel.device}.{channel.channel}" for channel in machine.channels]
