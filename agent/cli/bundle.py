"""`stethos bundle`: make signing keys, verify a bundle as the agent would, show what is in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from agent.infer.manifest import Manifest


@click.group()
def bundle() -> None:
    """Signed model bundles and the keys behind them."""


@bundle.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--key",
    "keys",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    multiple=True,
    help="Public key; may be repeated.",
)
def verify(file: Path, keys: tuple[Path, ...]) -> None:
    """Check signature and digests of FILE and re-run its golden vectors on this machine's processor."""
    from agent.infer.bundle import open_bundle
    from agent.infer.keys import public_key
    from agent.infer.session import Session

    trusted = [public_key(_read(path), str(path)) for path in keys]
    opened = open_bundle(_read(file), trusted)
    session = Session(opened, "cpu")
    click.echo(f"{file}: signed by {opened.key_id}, all digests hold")
    click.echo(f"  {opened.manifest.golden.windows} golden windows agree on {session.provider}")


@bundle.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="The manifest as JSON.")
def show(file: Path, as_json: bool) -> None:  # noqa: FBT001 - a flag
    """Show what FILE says of itself; the signature is not checked, see 'verify'."""
    import msgspec

    from agent.infer.bundle import unverified_manifest

    manifest = unverified_manifest(_read(file))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(manifest), indent=2))
        return
    for name, text in _facts(manifest):
        click.echo(f"{name:<12} {text}")


@bundle.command()
@click.argument("name")
def keygen(name: str) -> None:
    """Write a new key pair: NAME.key signs and stays secret, NAME.pub goes to every box."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from agent.infer.keys import key_id, private_pem, public_pem

    key = Ed25519PrivateKey.generate()
    _write_new(Path(f"{name}.key"), private_pem(key), 0o600)
    _write_new(Path(f"{name}.pub"), public_pem(key.public_key()), 0o644)
    click.echo(f"{name}.key and {name}.pub: key {key_id(key.public_key())}")


def _facts(manifest: Manifest) -> list[tuple[str, str]]:
    contract, calibration = manifest.contract, manifest.calibration
    channels = ", ".join(f"{channel.name} [{channel.unit}]" for channel in contract.channels)
    return [
        ("bundle", f"{manifest.name} {manifest.version} (release {manifest.counter}), signature not checked"),
        ("model", f"{manifest.model.family}, {manifest.model.parameters} parameters, opset {manifest.model.opset}"),
        *([("kinds", ", ".join(manifest.model.kinds))] if manifest.model.kinds else []),
        ("window", f"{contract.window} cells at {contract.rate_hz:g} Hz, one every {contract.hop}"),
        ("channels", channels),
        ("calibrated", f"on {calibration.hours:.3g} h of normal operation, {calibration.clusters} excursions"),
        ("trained", f"{manifest.provenance.created} by stethos {manifest.provenance.stethos_version}"),
        ("data", f"sha256 {manifest.provenance.data_sha256}"),
        *((name, f"{value:.4g}") for name, value in sorted(manifest.provenance.metrics.items())),
    ]


def _read(path: Path) -> bytes:
    from agent.errors import ConfigError, Problem

    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError([Problem(str(path), f"cannot be read: {error.strerror}", "check the path")]) from error


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """Never replaces a key: what it signed could then be signed no more."""
    import os

    from agent.errors import ConfigError, Problem

    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except OSError as error:
        raise ConfigError(
            [Problem(str(path), f"cannot be written: {error.strerror}", "choose another name")]
        ) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
