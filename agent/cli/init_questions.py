"""What `stethos init` asks on a terminal: nothing that an option said already, and each answer is judged at once."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from agent.cli.init_devices import every_channel, fitting_channels, profile_at, profile_of
from agent.config.broker import parse_broker
from agent.config.findings import Findings
from agent.config.profiles import available_profiles
from agent.errors import BundleError, ConfigError, LinkError
from agent.infer.bundle import SUFFIX, unverified
from agent.ports.identity import Port, describe
from agent.ports.listing import system_ports
from agent.quantities import parse_rate_per_hour

Answer = TypeVar("Answer")


def ask(given: Mapping[str, Any], config: Path, host: str) -> dict[str, Any]:
    """`given`, the command's options, with what they left open; `host` is offered as the agent's name."""
    answers = dict(given)
    beside = config.parent
    answers["agent"] = given["agent"] or _prompt("Name of this box", _identifier, default=host)
    answers["bundle"] = given["bundle"] or _prompt("Model of the machine (file)", _bundle, default=_only(f"*{SUFFIX}"))
    manifest = unverified(answers["bundle"].read_bytes()).manifest
    names = manifest.contract.names
    click.echo(f"  {manifest.name} {manifest.version} needs {', '.join(names)}")
    answers["key"] = given["key"] or _prompt("Public key of whoever signed it (file)", _file, default=_only("*.pub"))
    answers["machine"] = given["machine"] or _prompt("Name of the machine", _identifier, default=manifest.name)
    answers["device"] = given["device"] or _devices(names, beside, given["seconds"])
    if given["channels"] is None:
        answers["channels"] = _channels(names, answers["device"], beside)
    answers["false_alarms"] = _prompt("False alarms that are accepted", _rate, default=given["false_alarms"])
    if given["broker"] is None:
        answers.update(_broker(given))
    return answers


def _devices(wanted: Sequence[str], beside: Path, seconds: float) -> list[Mapping[str, str]]:
    """One device, and further ones while channels are missing or somebody says so."""
    ports = system_ports()
    found: list[Mapping[str, str]] = []
    while True:
        found.append(_device(ports, beside, seconds))
        missing = [name for name, fits in zip(wanted, fitting_channels(wanted, found, beside), strict=True) if not fits]
        if missing:
            click.echo(f"  still missing: {', '.join(missing)}")
        if not click.confirm("Another device?", default=bool(missing)):
            return found


def _device(ports: Sequence[Port], beside: Path, seconds: float) -> Mapping[str, str]:
    for number, port in enumerate(ports, start=1):
        click.echo(f"  {number}) {port.path}  {describe(port)}")
    default = "1" if len(ports) == 1 else None
    place = _prompt(
        "Where is the sensor? A number or path of a port, 'mqtt' or 'tcp'", lambda text: _place(text, ports), default
    )
    keys = {"port": place}
    if place == "mqtt":
        keys = {"broker": _prompt("Its broker", _url, default="mqtt://localhost"), "topic": _prompt("Its topic", str)}
    elif place == "tcp":
        keys = {"host": _prompt("Its host (Modbus TCP)", str)}
    keys |= _profile(place, beside, seconds)
    if profile_of(keys["profile"], beside).transport == "modbus":
        keys["unit"] = str(click.prompt("Its address on the bus", type=click.IntRange(0, 255), default=1))
    return {"id": _prompt("Name of this device", _identifier, default=keys["profile"]), **keys}


def _profile(place: str, beside: Path, seconds: float) -> dict[str, str]:
    """Told by what the port sends, as far as it says so, and confirmed."""
    found: dict[str, str] = {}
    if place not in {"mqtt", "tcp"} and click.confirm("Listen to it to find its profile?", default=True):
        try:
            found = profile_at(place, beside, seconds)
        except (ConfigError, LinkError) as error:
            click.echo(f"  {error}")
    if not found:
        click.echo(f"  profiles: {', '.join(available_profiles(beside))}")

    def known(name: str) -> str:
        profile_of(name, beside)
        return name

    name = _prompt("Its profile", known, default=found.get("profile"))
    return found if name == found.get("profile") else {"profile": name}


def _channels(wanted: Sequence[str], devices: Sequence[Mapping[str, str]], beside: Path) -> list[str]:
    """Asked only where names do not tell which channel is meant."""
    chosen = []
    for name, fits in zip(wanted, fitting_channels(wanted, devices, beside), strict=True):
        if len(fits) == 1:
            chosen += fits
        else:
            choice = click.Choice(fits or every_channel(devices, beside))
            chosen.append(click.prompt(f"Which channel is {name}?", type=choice))
    return chosen


def _broker(given: Mapping[str, Any]) -> dict[str, Any]:
    url = _prompt("Broker that alarms go to", _url, default="mqtts://localhost")
    broker = parse_broker(url)
    found: dict[str, Any] = {"broker": url}
    if not (broker.tls or broker.loopback or given["allow_plaintext"]):
        click.echo("  mqtt:// is not encrypted: whoever is on the network between can read alarms and password")
        found["allow_plaintext"] = click.confirm("Accept that?", default=False, abort=False)
    if broker.tls and given["ca"] is None:
        ca = _prompt("Certificate of its authority (file; empty: the system knows it)", _file_or_none, default="")
        found["ca"] = ca
    if given["username"] is None:
        found["username"] = click.prompt("User name there (empty: none)", default="", show_default=False) or None
    if (given["username"] or found["username"]) and given["password_file"] is None:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        found["password_file"] = io.BytesIO(password.encode())
    return found


def _prompt(question: str, judge: Callable[[str], Answer], default: str | None = None) -> Answer:
    """Ask until `judge` accepts the answer."""

    def value(text: str) -> Answer:
        try:
            return judge(text.strip())
        except (ValueError, OSError, ConfigError, BundleError) as error:
            raise click.UsageError(str(error)) from error

    answer: Answer = click.prompt(question, default=default, value_proc=value, show_default=default != "")
    return answer


def _identifier(text: str) -> str:
    findings = Findings(lambda _: "a name", Path())
    findings.identifier((), text)
    if findings.problems:
        raise ConfigError(findings.problems)
    return text


def _rate(text: str) -> str:
    parse_rate_per_hour(text)
    return text


def _url(text: str) -> str:
    parse_broker(text)
    return text


def _file(text: str) -> Path:
    path = Path(text).expanduser()
    path.read_bytes()
    return path


def _file_or_none(text: str) -> Path | None:
    return _file(text) if text else None


def _bundle(text: str) -> Path:
    path = _file(text)
    unverified(path.read_bytes())
    return path


def _place(text: str, ports: Sequence[Port]) -> str:
    if text in {"mqtt", "tcp"}:
        return text
    if text.isdecimal() and 1 <= int(text) <= len(ports):
        return ports[int(text) - 1].path
    if not Path(text).is_char_device():
        raise ValueError(f"'{text}' is no port")
    return text


def _only(pattern: str) -> str | None:
    """The one file of the working folder that fits."""
    found = sorted(Path().glob(pattern))
    return str(found[0]) if len(found) == 1 else None
