"""`stethos doctor`: what around a sound configuration keeps the agent from its work here and now."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.options import print_json, with_json


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@with_json
@click.pass_context
def doctor(ctx: click.Context, *, config: Path, as_json: bool) -> None:
    """Examine this box for CONFIG: ports and rights, brokers, accelerators, disk. Exit code 1 where something is not well."""
    from agent.config.check import check
    from agent.doctor import examine

    findings = list(examine(check(config)))
    if as_json:
        rows = [{"well": each.well, "where": each.where, "what": each.what, "remedy": each.remedy} for each in findings]
        print_json(rows)
    for finding in [] if as_json else findings:
        mark = "ok  " if finding.well else "FAIL"
        click.echo(f"{mark} {finding.where}: {finding.what}" + (f" ({finding.remedy})" if finding.remedy else ""))
    ctx.exit(0 if all(finding.well for finding in findings) else 1)
