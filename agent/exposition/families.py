"""The health documents as Prometheus metrics: base units, counters that end in _total, states as one series each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent.exposition.text import Family
from agent.health import AgentHealth, DeviceHealth
from agent.sensors.faults import State

# Of a device's link: what has a name of its own. The rest, which depends on transport and format, is told by event.
_COUNTERS = {
    "bytes": ("received_bytes", "Bytes that arrived from the device."),
    "frames": ("frames", "Frames that were found in them, broken ones too."),
    "samples": ("samples", "Samples that were decoded and kept."),
    "checksum_errors": ("checksum_errors", "Frames whose checksum was wrong."),
    "decode_errors": ("decode_errors", "Frames that made no sense otherwise."),
    "resync_bytes": ("resync_bytes", "Bytes that belonged to no sound frame."),
    "lost": ("lost_samples", "Samples that never came, by the sequence counter."),
    "repeated": ("repeated_samples", "Samples that came more than once."),
    "reopens": ("reopens", "Times that the link was opened again."),
    "fault_changes": ("fault_changes", "Faults of the sensors that came or went."),
    "bytes_dropped": ("dropped_bytes", "Bytes that the pipeline was too slow for."),
}
_GAUGES = {
    "drift_ppm": ("clock_drift_ratio", "How much faster than nominal the device's clock runs.", 1e-6),
    "time_uncertainty_ms": ("time_uncertainty_seconds", "How far arrivals lie from the line of event times.", 1e-3),
    "clock_offset_ms": ("clock_offset_seconds", "How far the device's clock is ahead of the host's.", 1e-3),
}
_FATES = {
    "in": ("entered", "Items that went into a stage"),
    "out": ("left", "Items that went on from a stage"),
    "dropped": ("dropped", "Items that a stage dropped"),
}


def families(agent: str, own: AgentHealth, devices: Mapping[str, DeviceHealth]) -> list[Family]:
    """Everything that is counted; no reason in words, no address and no secret is among it."""
    return [*_of_agent(agent, own), *_of_stages(own), *_of_links(devices), *_of_devices(devices)]


def _of_agent(agent: str, own: AgentHealth) -> Iterable[Family]:
    build = Family("stethos_build_info", "gauge", "Always 1; the labels say what runs.")
    build.add(1, agent=agent, provider=own.provider or "", **own.versions)
    state = Family("stethos_state", "gauge", "1 for the NAMUR NE 107 state that the agent is in.")
    for each in State:
        state.add(int(each is own.state), state=each)
    uptime = Family("stethos_uptime_seconds", "gauge", "Time since the agent started.")
    uptime.add(own.uptime_s)
    events = Family("stethos_events_total", "counter", "What the agent did, by the name that health counts it under.")
    for name, count in own.counters.items():
        events.add(count, event=name)
    return build, state, uptime, events


def _of_stages(own: AgentHealth) -> Iterable[Family]:
    for fate, (name, what) in _FATES.items():
        family = Family(
            f"stethos_stage_{name}_total", "counter", f"{what}: bytes, frames, samples, windows or messages."
        )
        for stage, books in own.flow.items():
            family.add(books[fate], stage=stage)
        yield family
    held = Family("stethos_stage_held", "gauge", "Items that a stage holds now.")
    for stage, books in own.flow.items():
        held.add(books["held"], stage=stage)
    yield held


def _of_links(devices: Mapping[str, DeviceHealth]) -> Iterable[Family]:
    for key, (name, what) in _COUNTERS.items():
        counter = Family(f"stethos_device_{name}_total", "counter", what)
        for device, health in devices.items():
            if (count := health.link.get(key)) is not None:
                counter.add(count, device=device)
        yield counter
    for key, (name, what, factor) in _GAUGES.items():
        gauge = Family(f"stethos_device_{name}", "gauge", what)
        for device, health in devices.items():
            if (value := health.link.get(key)) is not None:
                gauge.add(value * factor, device=device)
        yield gauge
    events = Family("stethos_device_events_total", "counter", "What else a device's link went through, by its name.")
    for device, health in devices.items():
        for key, count in health.link.items():
            if count is not None and key not in _COUNTERS and key not in _GAUGES:
                events.add(count, device=device, event=key)
    yield events


def _of_devices(devices: Mapping[str, DeviceHealth]) -> Iterable[Family]:
    state = Family("stethos_device_state", "gauge", "1 for the NAMUR NE 107 state that a device is in.")
    silence = Family("stethos_device_silence_seconds", "gauge", "Time since the device's last bytes.")
    faults = Family("stethos_channel_faults", "gauge", "Faults of a channel's sensor that stand now.")
    changes = Family(
        "stethos_channel_fault_changes_total", "counter", "Faults of a channel's sensor that came or went."
    )
    for device, health in devices.items():
        for each in State:
            state.add(int(each is health.state), device=device, state=each)
        if health.silent_s is not None:
            silence.add(health.silent_s, device=device)
        for name, channel in health.channels.items():
            faults.add(len(channel.faults), device=device, channel=name)
            changes.add(channel.changes, device=device, channel=name)
    return state, silence, faults, changes
