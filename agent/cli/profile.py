"""`stethos profile`: list, show and check firmware profiles, begin a new one, and write the C header of one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from agent.cli.options import print_json, with_json
from agent.errors import ConfigError, Problem

if TYPE_CHECKING:
    from agent.decode.golden import Golden
    from agent.decode.schema import Profile


@click.group()
def profile() -> None:
    """Firmware profiles: what a device sends, described by data."""


@profile.command("list")
@with_json
def list_(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """List every profile that a configuration in this folder can name."""
    from agent.config.profiles import available_profiles, read_profile

    rows = []
    for name in available_profiles(Path()):
        found = read_profile(name, Path())
        rows.append({"name": name, "maker": found.maker, "model": found.model, "transport": found.transport})
    if as_json:
        print_json(rows)
        return
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        click.echo(f"{row['name']:<{width}}  {row['transport']:<6}  {row['maker']}: {row['model']}")


@profile.command()
@click.argument("name")
@with_json
def show(name: str, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Show what the profile NAME (or the file NAME.toml) describes."""
    _, found = _read(name)
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    for line in _lines(found):
        click.echo(line)


@profile.command()
@click.argument("file")
@with_json
@click.pass_context
def check(ctx: click.Context, file: str, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Check the profile FILE (or a name), and that its golden frames decode to the samples beside them.

    Golden frames lie in golden/NAME.toml beside the profile. Exit code 2 where the profile is wrong, 1 where the frames differ.
    """
    from agent.decode.golden import differences

    try:
        path, found = _read(file)
        golden = _golden(path)
    except ConfigError as error:
        if not as_json:
            raise
        rows = [{"where": each.where, "what": each.what, "remedy": each.remedy} for each in error.problems]
        print_json({"ok": False, "problems": rows, "differences": []})
        ctx.exit(2)
    differing = differences(found, golden) if golden else []
    if as_json:
        frames = None if golden is None else len(golden.sample)
        print_json({"ok": not differing, "problems": [], "golden_samples": frames, "differences": differing})
    elif golden is None:
        click.echo(f"{path}: sound; no golden frames in {_golden_path(path)}, so nothing was decoded")
    elif not differing:
        click.echo(f"{path}: sound; its golden frames give the {len(golden.sample)} samples beside them")
    for line in [] if as_json else differing:
        click.echo(f"{_golden_path(path)}: {line}", err=True)
    ctx.exit(1 if differing else 0)


@profile.command()
@click.argument("name")
@click.option("--format", "record", type=click.Choice(["binary", "csv", "json"]), default="binary", show_default=True)
@click.option(
    "--channel", "channels", multiple=True, metavar="NAME:UNIT", help="A channel with its UCUM unit; may be repeated."
)
@click.option("--rate", "rate_hz", type=float, default=10.0, show_default=True, help="Samples a second.")
@click.option("--out", type=click.Path(path_type=Path), help="The file; firmware_configs/NAME.toml where absent.")
def new(name: str, record: str, channels: tuple[str, ...], rate_hz: float, out: Path | None) -> None:
    """Write a commented profile NAME to start from; it is sound as it stands."""
    from agent.cli.profile_template import template

    path = out or Path("firmware_configs") / f"{name}.toml"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(template(record, [_channel(text) for text in channels or ("x:1",)], rate_hz))
    except FileExistsError:
        raise ConfigError([Problem(str(path), "it exists already", "take another name, or edit it")]) from None
    except OSError as error:
        raise ConfigError(
            [Problem(str(path), f"it cannot be written: {error.strerror}", "take another place")]
        ) from error
    click.echo(f"{path} written; next: edit it, then stethos profile check {path}")


@profile.command()
def schema() -> None:
    """Print the JSON Schema of profiles, for editors that know TOML."""
    from agent.decode.profile_schema import profile_schema

    print_json(profile_schema())


@profile.command()
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), help="The file; standard output where absent.")
def header(name: str, out: Path | None) -> None:
    """Write the C99 header of a binary profile: struct, encoder, self-test against its golden frames."""
    from agent.profile_header.header import c_header

    path, found = _read(name)
    text = c_header(path.stem, found, _golden(path))
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            [Problem(str(out), f"it cannot be written: {error.strerror}", "take another place")]
        ) from error


def _read(name: str) -> tuple[Path, Profile]:
    from agent.config.profiles import ProfileMissing, find_profile, read_profile
    from agent.toml_structs import nearest

    try:
        return find_profile(name, Path()), read_profile(name, Path())
    except ProfileMissing as error:
        raise ConfigError([Problem(name, "there is no such profile", nearest(name, error.available))]) from error


def _golden_path(profile: Path) -> Path:
    return profile.parent / "golden" / profile.name


def _golden(profile: Path) -> Golden | None:
    """The golden frames beside a profile, or None."""
    from agent.config.load import read_text
    from agent.decode.golden import parse_golden

    path = _golden_path(profile)
    return parse_golden(read_text(path), str(path)) if path.is_file() else None


def _channel(text: str) -> tuple[str, str]:
    name, separator, unit = text.partition(":")
    if not (name and separator and unit):
        raise click.BadParameter(f"'{text}' is not NAME:UNIT, as in temperature:Cel", param_hint="--channel")
    return name, unit


def _lines(found: Profile) -> Iterator[str]:
    yield f"{found.maker}: {found.model}"
    yield f"  source      {found.source}"
    if found.firmware:
        yield f"  firmware    {', '.join(found.firmware)}"
    baud = f", {found.baud} baud" if found.baud else ""
    checksum = f", {found.checksum.name}" if found.checksum else ""
    yield f"  transport   {found.transport}{baud}, framed by {found.framing.kind}{checksum}"
    block = f", {found.frame_samples} samples a frame" if found.frame_samples > 1 else ""
    yield f"  rate        {found.rate_hz:g} Hz{block}, silent after {found.silent_after_s:g} s"
    yield f"  time        {found.time.kind}"
    for channel in found.channel:
        yield f"  {channel.name:<11} {channel.unit}{_range(channel.minimum, channel.maximum)}"
    if found.action:
        yield f"  if it fails {found.action}"


def _range(minimum: float | None, maximum: float | None) -> str:
    if minimum is None and maximum is None:
        return ""
    return f", {'' if minimum is None else f'{minimum:g}'} to {'' if maximum is None else f'{maximum:g}'}"
