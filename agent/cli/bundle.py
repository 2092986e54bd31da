"""`stethos bundle`: make keys, sign a bundle, verify it as the agent would, show what is in it; roots in a group of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.bundle_root import root
from agent.cli.bundle_store import COMMANDS
from agent.cli.bundle_tune import tune

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from agent.infer.bundle import Unverified

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def bundle() -> None:
    """Signed model bundles and the keys behind them."""


bundle.add_command(root)
bundle.add_command(tune)
for _command in COMMANDS:
    bundle.add_command(_command)


@bundle.command()
@click.argument("file", type=_FILE)
@click.option("--key", "keys", type=_FILE, multiple=True, help="Public key; may be repeated.")
@click.option("--root", "root_file", type=_FILE, help="Root file, in the place of keys.")
@click.option("--threshold", type=click.IntRange(min=1), help="How many of the keys must have signed; 1 where absent.")
@click.option("--decryption-key", type=_FILE, help="For an encrypted bundle.")
def verify(
    file: Path, keys: tuple[Path, ...], root_file: Path | None, threshold: int | None, decryption_key: Path | None
) -> None:
    """Check signatures, digests and expiry of FILE and re-run its golden vectors on this machine's processor."""
    from agent.cli.files import model_key, read
    from agent.infer.bundle import open_bundle
    from agent.infer.expiry import check_expiry
    from agent.infer.loading import load
    from agent.infer.settings import InferenceSettings
    from agent.timesync import trusted_now_ns

    trusted, needed = _trusted(keys, root_file, threshold)
    secret = None if decryption_key is None else model_key(decryption_key)
    opened = open_bundle(read(file), trusted, threshold=needed, decryption_key=secret)
    warnings = check_expiry("the bundle", opened.manifest.expires, trusted_now_ns(), "ask its supplier for a new one")
    session = load(opened, InferenceSettings(device="cpu"))
    click.echo(f"{file}: signed by {', '.join(opened.signers)}, all digests hold")
    click.echo(f"  {opened.manifest.golden.windows} golden windows agree on {session.provider}")
    for warning in warnings:
        click.echo(f"  {warning}")
    session.close()


@bundle.command()
@click.argument("file", type=_FILE)
@click.option("--json", "as_json", is_flag=True, help="The manifest as JSON.")
def show(file: Path, as_json: bool) -> None:  # noqa: FBT001 - a flag
    """Show what FILE says of itself; no signature is checked, see 'verify'."""
    import msgspec

    from agent.cli.files import read
    from agent.infer.bundle import unverified

    found = unverified(read(file))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found.manifest), indent=2))
        return
    for name, text in _facts(found):
        click.echo(f"{name:<12} {text}")


@bundle.command()
@click.argument("file", type=_FILE)
@click.option("--key", "keys", type=_FILE, required=True, multiple=True, help="Private key; may be repeated.")
@click.option("--out", type=_FILE, help="A new file, in the place of FILE itself.")
def sign(file: Path, keys: tuple[Path, ...], out: Path | None) -> None:
    """Add a signature to FILE, a bundle that others have signed or are to sign; show it first, and sign what you know."""
    from agent.cli.files import read, rewrite, write_new
    from agent.infer.bundle import countersign, unverified
    from agent.infer.keys import private_key

    data = countersign(read(file), [private_key(read(path), str(path)) for path in keys])
    if out is None:
        rewrite(file, data)
    else:
        write_new(out, data)
    found = unverified(data)
    click.echo(
        f"{out or file}: {found.manifest.name} {found.manifest.version} (release {found.manifest.counter}), "
        f"signed by {', '.join(found.claimed)}"
    )


@bundle.command()
@click.argument("name")
@click.option(
    "--decryption", is_flag=True, help="A key that encrypts and decrypts models, in the place of one that signs."
)
def keygen(name: str, decryption: bool) -> None:  # noqa: FBT001 - a flag
    """Write a new key pair: NAME.key signs and stays secret, NAME.pub goes to every box."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from agent.cli.files import write_new
    from agent.infer.encryption import describe, new_key
    from agent.infer.keys import key_id, private_pem, public_pem

    if decryption:
        secret = new_key()
        write_new(Path(f"{name}.aes"), f"{secret.hex()}\n".encode(), 0o600)
        click.echo(f"{name}.aes: decryption key {describe(secret).key_id}; whoever holds it can read the models")
        return
    key = Ed25519PrivateKey.generate()
    write_new(Path(f"{name}.key"), private_pem(key), 0o600)
    write_new(Path(f"{name}.pub"), public_pem(key.public_key()))
    click.echo(f"{name}.key and {name}.pub: key {key_id(key.public_key())}")


def _trusted(
    keys: Sequence[Path], root_file: Path | None, threshold: int | None
) -> tuple[tuple[Ed25519PublicKey, ...], int]:
    """The keys, and how many of them must have signed; an expired root is an error here too."""
    from agent.cli.files import read
    from agent.infer.expiry import check_expiry
    from agent.infer.keys import public_key
    from agent.timesync import trusted_now_ns
    from agent.trust.root import read_chain

    if bool(keys) == (root_file is not None) or (root_file is not None and threshold is not None):
        raise click.UsageError("give either --key, with --threshold if you like, or --root")
    if root_file is None:
        return tuple(public_key(read(path), str(path)) for path in keys), threshold or 1
    newest = read_chain(read(root_file)).newest
    for warning in check_expiry(newest.words, newest.expires, trusted_now_ns(), "take the newest root file"):
        click.echo(warning, err=True)
    return newest.keys, newest.threshold


def _facts(found: Unverified) -> Iterator[tuple[str, str]]:
    manifest = found.manifest
    contract, calibration = manifest.contract, manifest.calibration
    yield "bundle", f"{manifest.name} {manifest.version} (release {manifest.counter}), signature not checked"
    yield "claims", f"to be signed by {', '.join(found.claimed) or 'nobody'}"
    yield "model", f"{manifest.model.family}, {manifest.model.parameters} parameters, opset {manifest.model.opset}"
    if manifest.model.kinds:
        yield "kinds", ", ".join(manifest.model.kinds)
    yield "entries", ", ".join(f"{name} {size:,} bytes" for name, size in found.sizes.items())
    if manifest.encryption is not None:
        yield "encrypted", f"{manifest.encryption.algorithm}, key {manifest.encryption.key_id}"
    if manifest.expires is not None:
        yield "expires", manifest.expires
    if manifest.device_classes:
        yield "only for", ", ".join(manifest.device_classes)
    if manifest.promise is not None:
        yield "promises", f"one window in {manifest.promise.batch_1_ms:g} ms"
    yield "window", f"{contract.window} cells at {contract.rate_hz:g} Hz, one every {contract.hop}"
    yield "channels", ", ".join(f"{channel.name} [{channel.unit}]" for channel in contract.channels)
    yield "calibrated", f"on {calibration.hours:.3g} h of normal operation, {calibration.clusters} excursions"
    yield "trained", f"{manifest.provenance.created} by stethos {manifest.provenance.stethos_version}"
    yield "data", f"sha256 {manifest.provenance.data_sha256}"
    for name, value in sorted(manifest.provenance.metrics.items()):
        yield name, f"{value:.4g}"
