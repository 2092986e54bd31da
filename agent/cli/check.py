"""`stethos check`: every problem of a configuration at once, or what it will run."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.options import print_json, with_json
from agent.errors import ConfigError, Problem

if TYPE_CHECKING:
    from agent.config.checked import Checked, CheckedDevice


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@with_json
@click.option("--stdin", is_flag=True, help="Check what comes on standard input as if CONFIG held it.")
@click.pass_context
def check(ctx: click.Context, config: Path, as_json: bool, stdin: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Check CONFIG and every file it names: profiles, bundles, keys, secrets. Exit code 2 where it would not run."""
    from agent.config.check import check as check_config
    from agent.config.known_good import Contents

    try:
        instead = Contents(text=sys.stdin.buffer.read().decode(errors="replace")) if stdin else None
        checked = check_config(config, instead=instead)
    except ConfigError as error:
        if not as_json:
            raise
        print_json({"ok": False, "problems": _rows(error.problems)})
        ctx.exit(2)
    if as_json:
        print_json({"ok": True, "warnings": _rows(checked.warnings), **_summary(checked)})
        return
    for warning in checked.warnings:
        click.echo(f"warning: {warning}", err=True)
    for line in _lines(checked):
        click.echo(line)


def _summary(checked: Checked) -> dict[str, object]:
    return {
        "agent": checked.config.agent.id,
        "devices": [
            {
                "id": device.id,
                "profile": device.config.profile,
                "place": _place(device),
                "channels": len(device.profile.channel),
            }
            for device in checked.devices.values()
        ],
        "machines": [
            {
                "id": machine.id,
                "bundle": f"{machine.bundle.manifest.name} {machine.bundle.manifest.version}",
                "bundle_sha256": machine.bundle.digest,
                "channels": len(machine.channels),
                "false_alarms": machine.config.false_alarms,
                "provider": machine.session.provider,
                "degraded": machine.session.degraded,
            }
            for machine in checked.machines.values()
        ],
        "upstream": checked.config.upstream.broker,
    }


def _lines(checked: Checked) -> Iterable[str]:
    from agent.config.bundles import is_stored

    yield f"{checked.path}: agent {checked.config.agent.id} can run"
    for device in checked.devices.values():
        yield f"  device {device.id}: {device.config.profile} from {_place(device)}, channels: {len(device.profile.channel)}"
    for machine in checked.machines.values():
        manifest, stored = machine.bundle.manifest, " of the store" if is_stored(machine.config.bundle) else ""
        yield (
            f"  machine {machine.id}: {manifest.name} {manifest.version}{stored} on {machine.session.provider}, "
            f"channels: {len(machine.channels)}, false alarms: {machine.config.false_alarms}"
        )
        if machine.session.degraded:
            yield f"    {machine.session.degraded}"
    yield f"  upstream {checked.config.upstream.broker}"


def _place(device: CheckedDevice) -> str:
    from agent.config.checked import ModbusPlace

    config = device.config
    if isinstance(device.place, ModbusPlace):
        return f"{device.place.bus.name} unit {device.place.unit}"
    if config.serial:
        return config.serial.port or f"the port of {config.serial.usb_serial}"
    return f"{config.mqtt.broker} {config.mqtt.topic}" if config.mqtt else ""


def _rows(problems: Iterable[Problem]) -> list[dict[str, str]]:
    return [{"where": each.where, "what": each.what, "remedy": each.remedy} for each in problems]
