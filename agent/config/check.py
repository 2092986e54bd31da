"""One call that says everything wrong with an agent's file and the files it names, or hands over all it takes to run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agent.config.bundles import check_bundles
from agent.config.checked import Checked
from agent.config.commands import check_commands
from agent.config.connections import check_base, check_connection
from agent.config.devices import check_devices
from agent.config.findings import Findings
from agent.config.inference import inference_settings
from agent.config.known_good import Contents
from agent.config.load import load, load_text
from agent.config.machines import check_machines
from agent.config.responses import check_responses
from agent.config.schema import Config
from agent.config.trust import check_trust
from agent.errors import ConfigError
from agent.ports.listing import ListPorts, system_ports
from agent.timesync import trusted_now_ns
from agent.types import NANOSECONDS

_SMALLEST_OUTBOX_BYTES = 1024 * 1024
_SMALLEST_RECORD_BYTES = 16 * 1024 * 1024
_MOST_THREADS = 256
REPLACED = "the configuration"  # one that lies in no file of the operator's


def check(
    path: Path,
    list_ports: ListPorts = system_ports,
    now: Callable[[], int | None] = trusted_now_ns,
    instead: Contents | None = None,
) -> Checked:
    """Read and prove the configuration in `path`; raises ConfigError with every problem, in the order of the file's sections.

    `now` gives nanoseconds since the Unix epoch, None while this box's clock is not synchronised. `instead` stands in for what the
    file holds now, and is called REPLACED in problems.
    """
    loaded = load(path) if instead is None else load_text(instead.text, REPLACED)
    config = loaded.config
    findings = Findings(loaded.locate, path.parent, loaded.problems, {} if instead is None else instead.profiles)
    findings.warn_of_writers((), path)
    findings.identifier(("agent", "id"), config.agent.id)
    health_every_ns = findings.duration_ns(("agent", "health_every"), config.agent.health_every, "1s", "1d")
    well_after_ns = findings.duration_ns(("agent", "well_after"), config.agent.well_after, "1s", "1d")
    upstream = check_connection(
        ("upstream",), config.upstream, findings, config.upstream.client_certificate, config.upstream.client_key
    )
    check_base(("upstream", "base"), config.upstream.base, findings)
    check_base(("homeassistant", "prefix"), config.homeassistant.prefix, findings)
    keepalive_ns = findings.duration_ns(("upstream", "keepalive"), config.upstream.keepalive, "1s", "12h")
    deadline_ns = findings.duration_ns(("inference", "deadline"), config.inference.deadline, "10ms", "10m")
    _check_paths(config, findings)
    _check_numbers(config, findings)
    commands = check_commands(config, findings)
    devices = check_devices(config.device, findings, list_ports)
    profiles = {name: None if device is None else device.profile for name, device in devices.items()}
    trust = check_trust(config, findings)
    bundles = check_bundles(config, findings)
    machines = check_machines(config, profiles, deadline_ns, findings, trust=trust, now_ns=now())
    responses = check_responses(config, devices, machines, findings)
    _warn_of_unused(config, findings)
    if findings.problems or upstream is None or trust is None:
        raise ConfigError(findings.problems)
    return Checked(
        config=config,
        path=path,
        state=path.parent / config.agent.state,
        record=None if config.record is None else path.parent / config.record.folder,
        metrics=None if config.metrics is None else path.parent / config.metrics.textfile,
        devices={name: device for name, device in devices.items() if device is not None},
        machines=machines,
        upstream=upstream,
        trust=trust,
        bundles=bundles,
        commands=commands,
        responses=responses,
        health_every_ns=health_every_ns,
        well_after_ns=well_after_ns,
        inference=inference_settings(config.inference, deadline_ns, path.parent / config.agent.state),
        keepalive_s=keepalive_ns // NANOSECONDS,
        warnings=tuple(findings.warnings),
    )


def _check_paths(config: Config, findings: Findings) -> None:
    """An empty path would be the folder of the agent's file."""
    if not config.agent.state:
        findings.problem(("agent", "state"), "the path is empty", "name a folder, as in /var/lib/stethos")
    if config.record is not None and not config.record.folder:
        findings.problem(("record", "folder"), "the path is empty", "name a folder")
    if config.metrics is not None and not Path(config.metrics.textfile).name.endswith(".prom"):
        what = f"'{config.metrics.textfile}' is no name that node_exporter reads"
        findings.problem(("metrics", "textfile"), what, "let it end in .prom")


def _check_numbers(config: Config, findings: Findings) -> None:
    if not 1 <= config.inference.threads <= _MOST_THREADS:
        findings.problem(("inference", "threads"), f"{config.inference.threads} threads", f"write 1 to {_MOST_THREADS}")
    if config.outbox.max_bytes < _SMALLEST_OUTBOX_BYTES:
        what = f"{config.outbox.max_bytes} bytes hold no outage"
        findings.problem(("outbox", "max_bytes"), what, f"write {_SMALLEST_OUTBOX_BYTES} or more")
    if config.record is not None and config.record.max_bytes < _SMALLEST_RECORD_BYTES:
        what = f"{config.record.max_bytes} bytes hold no recording"
        findings.problem(("record", "max_bytes"), what, f"write {_SMALLEST_RECORD_BYTES} or more")


def _warn_of_unused(config: Config, findings: Findings) -> None:
    used = {channel.partition(".")[0] for machine in config.machine for channel in machine.channels}
    for index, device in enumerate(config.device):
        if device.id not in used:
            findings.warn(("device", index), f"the device '{device.id}' is read, and no machine uses it")
