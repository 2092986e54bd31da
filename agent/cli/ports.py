"""`stethos ports`: which serial ports there are and whose they are, or which profile fits what a port sends."""

from __future__ import annotations

import os.path
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.options import print_json, with_json

if TYPE_CHECKING:
    from agent.decode.profile import Profile
    from agent.ports.table import Wanted


@click.command()
@click.option(
    "--config", type=click.Path(path_type=Path), help="Say which device of this configuration has which port."
)
@click.option("--detect", "port", metavar="PORT", help="Listen to PORT and say which profile and baud rate fit.")
@click.option("--profile", "names", multiple=True, help="With --detect: try this one only; may be repeated.")
@click.option(
    "--seconds", type=click.FloatRange(0.1, 600), default=3.0, show_default=True, help="With --detect: a baud rate."
)
@with_json
@click.pass_context
def ports(
    ctx: click.Context,
    *,
    config: Path | None,
    port: str | None,
    names: tuple[str, ...],
    seconds: float,
    as_json: bool,
) -> None:
    """List the serial ports; or find out what speaks on one. Exit code 1 where --detect finds nothing that fits."""
    beside = Path() if config is None else config.parent
    if port is None:
        _list([] if config is None else _wanted(config), as_json=as_json)
        return
    from agent.cli.detect import detect

    found = detect(port, _profiles(names, beside), seconds)
    if as_json:
        print_json(found.document())
    else:
        click.echo("\n".join(found.lines()))
    ctx.exit(0 if found.fitting else 1)


def _list(wanted: Sequence[Wanted], *, as_json: bool) -> None:
    from agent.ports.access import access
    from agent.ports.identity import Port
    from agent.ports.listing import system_ports
    from agent.ports.table import document, lines, table

    found = system_ports()
    # A port that the system does not list, such as a pseudo-terminal, is a port all the same.
    others = {each.path for each in wanted if each.path is not None and Path(each.path).is_char_device()}
    found += [Port(path) for path in sorted(others - {port.path for port in found})]
    answer = table(found, access(port.path for port in found), wanted)
    if as_json:
        print_json(document(answer))
    else:
        click.echo("\n".join(lines(answer)))


def _wanted(config: Path) -> list[Wanted]:
    """The serial devices of a configuration, whose other parts may still be wrong."""
    from agent.config.findings import Findings
    from agent.config.load import load
    from agent.config.schema import Config
    from agent.config.serial_places import check_identity
    from agent.errors import ConfigError
    from agent.ports.table import Wanted

    loaded = load(config, Config)
    findings = Findings(loaded.locate, config.parent, loaded.problems)
    wanted = []
    for index, device in enumerate(loaded.config.device):
        for transport, line in (("serial", device.serial), ("modbus", device.modbus)):
            if line is not None and (line.port or line.usb_serial):
                identity = check_identity(("device", index, transport), line, findings)
                path = os.path.realpath(config.parent / line.port) if line.port else None
                wanted.append(Wanted(device.id, path, identity))
    if findings.problems:
        raise ConfigError(findings.problems)
    return wanted


def _profiles(names: Sequence[str], beside: Path) -> dict[str, Profile]:
    """The serial profiles that are asked for, or every one that can be found."""
    from agent.config.profiles import ProfileMissing, available_profiles, read_profile
    from agent.errors import ConfigError, Problem
    from agent.toml_structs import nearest

    found = {}
    for name in names or available_profiles(beside):
        try:
            profile = read_profile(name, beside)
        except ProfileMissing as error:
            what = f"there is no profile '{name}'"
            raise ConfigError([Problem("--profile", what, nearest(name, error.available))]) from error
        if profile.transport == "serial":
            found[name] = profile
        elif names:
            what = f"the profile '{name}' speaks over {profile.transport}"
            raise ConfigError([Problem("--profile", what, "take one for a serial line")])
    return found
