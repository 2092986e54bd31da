"""`stethos bundle root`: the file that says which keys sign bundles, and how they are exchanged for others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.options import with_json

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from agent.trust.root import Link

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def root() -> None:
    """Which keys sign bundles: a file whose versions are each signed by the keys before and by their own."""


@root.command()
@click.argument("file", type=_FILE)
@click.option("--key", "keys", type=_FILE, required=True, multiple=True, help="Public key; may be repeated.")
@click.option("--threshold", type=click.IntRange(min=1), default=1, show_default=True, help="How many must sign.")
@click.option("--expires", help="RFC 3339, as in 2028-12-31T00:00:00Z; never where absent.")
def new(file: Path, keys: tuple[Path, ...], threshold: int, expires: str | None) -> None:
    """Begin the root file FILE, which its keys must sign then."""
    from agent.cli.files import write_new
    from agent.trust import root as roots

    data = roots.new(_public_keys(keys), threshold, expires)
    write_new(file, data)
    _tell(file, data)


@root.command()
@click.argument("file", type=_FILE)
@click.option("--add", type=_FILE, multiple=True, help="Public key; may be repeated.")
@click.option("--remove", multiple=True, help="The id of a key, see 'show'; may be repeated.")
@click.option("--threshold", type=click.IntRange(min=1), help="How many must sign; as before where absent.")
@click.option("--expires", help="RFC 3339, or never; as before where absent.")
def change(
    file: Path, add: tuple[Path, ...], remove: tuple[str, ...], threshold: int | None, expires: str | None
) -> None:
    """Add the next version to FILE, which the keys of the version before and its own must sign then."""
    from agent.cli.files import read, rewrite
    from agent.trust import root as roots

    before = read(file)
    if expires is None:
        expires = roots.read_chain(before).newest.expires
    data = roots.change(
        before,
        add=_public_keys(add),
        remove=remove,
        threshold=threshold,
        expires=None if expires == "never" else expires,
    )
    rewrite(file, data)
    _tell(file, data)


@root.command()
@click.argument("file", type=_FILE)
@click.option("--key", "keys", type=_FILE, required=True, multiple=True, help="Private key; may be repeated.")
def sign(file: Path, keys: tuple[Path, ...]) -> None:
    """Sign the last version of FILE; each holder of a key does it in turn."""
    from agent.cli.files import read, rewrite
    from agent.infer.keys import private_key
    from agent.trust import root as roots

    data = roots.sign(read(file), [private_key(read(path), str(path)) for path in keys])
    rewrite(file, data)
    _tell(file, data)


@root.command()
@click.argument("file", type=_FILE)
@with_json
@click.pass_context
def show(ctx: click.Context, file: Path, as_json: bool) -> None:  # noqa: FBT001 - a flag
    """Show the versions of FILE and who has signed the last one; 1 where a signature is missing."""
    from agent.cli.files import read
    from agent.trust import root as roots

    data = read(file)
    links = roots.read_links(data)
    missing = roots.missing(links)
    if as_json:
        import msgspec

        told = {"versions": [_facts(link) for link in links], "missing": missing}
        click.echo(msgspec.json.format(msgspec.json.encode(told), indent=2))
    else:
        for link in links:
            facts = _facts(link)
            click.echo(f"version {facts['version']}: {facts['threshold']} of {', '.join(facts['keys'])} must sign")
            click.echo(
                f"  expires {facts['expires'] or 'never'}; signed by {', '.join(facts['signed_by']) or 'nobody'}"
            )
        for line in missing:
            click.echo(line)
    ctx.exit(1 if missing else 0)


def _tell(file: Path, data: bytes) -> None:
    """How the file stands, for whoever has just changed it."""
    from agent.trust import root as roots

    links = roots.read_links(data)
    missing = roots.missing(links)
    click.echo(f"{file}: version {len(links)}" + ("" if missing else ", complete"))
    for line in missing:
        click.echo(f"  {line}")


def _facts(link: Link) -> dict[str, Any]:
    from agent.infer.keys import key_id

    return {
        "version": link.root.version,
        "threshold": link.root.threshold,
        "keys": [key_id(key) for key in link.root.keys],
        "expires": link.root.expires,
        "signed_by": list(link.signed.claimed),
    }


def _public_keys(paths: Sequence[Path]) -> list[Ed25519PublicKey]:
    from agent.cli.files import read
    from agent.infer.keys import public_key

    return [public_key(read(path), str(path)) for path in paths]
