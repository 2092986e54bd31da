"""`stethos model list`: the families of models and what can be set of each."""

from __future__ import annotations

import click

from export.cli.extra import require_training
from export.models import FAMILIES


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON.")
def families(as_json: bool) -> None:  # noqa: FBT001 - a flag
    """List the families of models, a line each, with the options that --set takes."""
    require_training()
    import msgspec

    from export.models import registered
    from export.options import describe, known

    rows = []
    for name in sorted(FAMILIES):
        family = registered(name)
        options = known(family)
        rows.append({"name": name, "supervised": family.supervised, "options": options})
        if not as_json:
            kind = " (learns from labels)" if family.supervised else ""
            told = "; ".join(f"{option} = {describe(how)}" for option, how in options.items())
            click.echo(f"{name}{kind}: {told or 'nothing to set'}")
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(rows), indent=2))
