"""`stethos init`: the few things that a technician knows become a configuration that runs."""

from __future__ import annotations

import re
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.options import CONFIG
from agent.errors import ConfigError, Problem

if TYPE_CHECKING:
    from agent.cli.init_files import File
    from agent.config.first_file import Answers

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_PASSWORD = "mqtt-password"  # noqa: S105 - the name of a file
# What has no default and is asked for.
_NEEDED = ("device", "bundle", "key", "broker")


@click.command(name="init")
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False), default=CONFIG)
@click.option("--agent", help="Name of this box in topics; its host name where absent.")
@click.option(
    "--device",
    multiple=True,
    metavar="KEY=VALUE,...",
    help="id, profile, and where it is: port=/dev/..., usb_serial=, baud=, parity=; broker=, topic=; host=, unit=. May be repeated.",
)
@click.option("--bundle", type=_FILE, help="The signed model of the machine; it is copied beside CONFIG.")
@click.option("--key", type=_FILE, help="Public key of whoever signed it; copied too.")
@click.option("--machine", help="Name of the machine; the bundle's where absent.")
@click.option("--channels", metavar="DEVICE.CHANNEL,...", help="In the bundle's order; by their names where absent.")
@click.option("--false-alarms", default="1 per month", show_default=True, help="How many are accepted.")
@click.option("--broker", metavar="URL", help="Where alarms go: mqtts://HOST:8883.")
@click.option("--allow-plaintext", is_flag=True, help="Accept mqtt:// beyond this box.")
@click.option(
    "--ca", type=_FILE, help="Certificate of the broker's authority (PEM), where the system does not know it."
)
@click.option("--username", help="For the broker.")
@click.option("--password-file", type=click.File("rb"), help="A file with the password, - for standard input.")
@click.option("--state", default="/var/lib/stethos", show_default=True, help="Folder of the outbox and the alarms.")
@click.option(
    "--seconds", type=click.FloatRange(0.1, 600), default=3.0, show_default=True, help="To listen a baud rate."
)
@click.option("--force", is_flag=True, help="Replace files that are there.")
def init(*, config: Path, force: bool, **given: Any) -> None:
    """Write CONFIG and what it needs beside it. On a terminal it asks for what no option says, and listens at a port to find its profile."""
    from agent.cli.init_devices import completed, keys_of
    from agent.cli.init_files import File, put
    from agent.config.first_file import text_of

    if config.exists() and not force:
        raise ConfigError([Problem(str(config), "is there already", "--force replaces it")])
    given["device"] = [completed(keys_of(text), config.parent, given["seconds"]) for text in given["device"]]
    given["channels"] = given["channels"].split(",") if given["channels"] else None
    if sys.stdin.isatty():
        from agent.cli.init_questions import ask

        given = ask(given, config, _host_name())
    elif missing := [f"--{name}" for name in _NEEDED if not given[name]]:
        raise click.UsageError(f"give {', '.join(missing)}, or run it on a terminal")
    answers, files = _answers(given, config)
    files[config.name] = File(text_of(answers).encode())
    for warning in put(config, files, force=force):
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"wrote {', '.join(str(config.parent / name) for name in files)}")
    if config == CONFIG:
        click.echo("start it with:  sudo systemctl restart stethos   and look:  systemctl status stethos")
    else:
        click.echo(f"run it with:  stethos run {config}")


def _answers(given: dict[str, Any], config: Path) -> tuple[Answers, dict[str, File]]:
    """What the file is to say, and the files that it needs beside itself; raises ConfigError."""
    from agent.cli.init_devices import device_of, matched
    from agent.cli.init_files import File
    from agent.config.first_file import Answers
    from agent.infer.bundle import unverified

    named = {name: given[name] for name in ("bundle", "key", "ca") if given[name] is not None}
    files = {path.name: File(path.read_bytes()) for path in named.values()}
    if given["password_file"] is not None:
        files[_PASSWORD] = File(given["password_file"].read(), secret=True)
    manifest = unverified(files[given["bundle"].name].data).manifest  # the check verifies it before anything is written
    return Answers(
        agent=given["agent"] or _host_name(),
        state=given["state"],
        devices=[device_of(keys, config.parent) for keys in given["device"]],
        machine=given["machine"] or manifest.name,
        bundle=given["bundle"].name,
        key=given["key"].name,
        channels=given["channels"] or matched(manifest.contract.names, given["device"], config.parent),
        false_alarms=given["false_alarms"],
        broker=given["broker"],
        allow_plaintext=given["allow_plaintext"],
        ca=None if given["ca"] is None else given["ca"].name,
        username=given["username"],
        password=_PASSWORD if _PASSWORD in files else None,
    ), files


def _host_name() -> str:
    """As far as topics allow its characters."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", socket.gethostname().partition(".")[0])
    return name[:64].strip("-") or "box"
