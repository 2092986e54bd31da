"""`stethos model parity`: how closely each form of a model follows PyTorch, and whether its alarms are the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from export.cli.extra import require_training

if TYPE_CHECKING:
    from agent.infer.bundle import Bundle
    from agent.infer.certificate import Comparison, Parity, WindowSet

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("subject", metavar="RUN|BUNDLE", type=click.Path(path_type=Path))
@click.option("--variants", default="fp16,int8", show_default=True, metavar="NAMES", help="To make and try, of a run.")
@click.option(
    "--batch", type=click.IntRange(min=1, max=1024), default=1, show_default=True, help="Windows at once, of a run."
)
@click.option("--key", "keys", type=_FILE, multiple=True, help="Public key that must have signed a bundle.")
@click.option("--decryption-key", type=_FILE, help="Of an encrypted bundle.")
@click.option("--out", type=_FILE, help="Write the certificate there too.")
@click.option("--json", "as_json", is_flag=True, help="The certificate as JSON.")
def parity(
    *,
    subject: Path,
    variants: str,
    batch: int,
    keys: tuple[Path, ...],
    decryption_key: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure the certificate of a RUN on this machine, or show a BUNDLE's and repeat its golden vectors here.

    'stethos model export' measures the same and puts it into the bundle.
    """
    require_training()
    from agent.cli.files import rewrite
    from agent.infer import certificate

    if subject.is_dir():
        found, repeated = _of_run(subject, variants, batch), list[str]()
    else:
        found, repeated = _of_bundle(subject, keys, decryption_key)
    data = certificate.write(found)
    if out is not None:
        rewrite(out, data + b"\n")
    if as_json:
        click.echo(data)
        return
    _print(found)
    for line in repeated:
        click.echo(line)


def _of_run(folder: Path, variants: str, batch: int) -> Parity:
    from export import bundle, rundir, to_onnx
    from export.cli.export import trial_of
    from export.release import Release, parse_variants

    run = rundir.load(folder)
    contract = run.record.contract
    graph = to_onnx.convert(run.model, len(contract.channels), contract.window)
    release = Release(version="", counter=1, variants=parse_variants(variants), batch=batch)
    return bundle.certify_run(run, graph, bundle.golden_of(run), release, trial_of(run)).parity


def _of_bundle(file: Path, keys: tuple[Path, ...], decryption_key: Path | None) -> tuple[Parity, list[str]]:
    from agent.cli.files import model_key, read
    from agent.errors import BundleError, ConfigError, Problem
    from agent.infer.bundle import open_bundle
    from agent.infer.keys import public_key

    if not keys:
        raise ConfigError([Problem(str(file), "is believed only where its signature holds", "give --key NAME.pub")])
    trusted = [public_key(read(key), str(key)) for key in keys]
    secret = None if decryption_key is None else model_key(decryption_key)
    bundle = open_bundle(read(file), trusted, threshold=len(keys), decryption_key=secret)
    if bundle.parity is None:
        raise BundleError(f"{file} has no certificate (parity.json); export it again")
    return bundle.parity, _repeated(bundle)


def _repeated(bundle: Bundle) -> list[str]:
    """A line for each form in the bundle: whether its golden vectors hold on this machine."""
    from agent.errors import BundleError
    from agent.infer.agreement import FP32
    from agent.infer.plan import Plan
    from agent.infer.session import Session

    lines = []
    for form in (FP32, *bundle.variants):
        try:
            session = Session(bundle, plan=Plan(variant=form))
            lines.append(f"{form}: {bundle.manifest.golden.windows} golden windows agree here on {session.provider}")
            session.close()
        except BundleError as error:
            lines.append(f"{form}: {error}")
    return lines


def _print(parity: Parity) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("form", "on", "windows", "p50", "p99", "worst", "decided alike", title="against PyTorch")
    for comparison in parity.comparisons:
        for each in parity.windows:
            table.add_row(comparison.form, _short(comparison.provider), *_row(parity, comparison, each))
    speed = Table("form", "on", f"ms for {parity.batch}", "times as fast as fp32")
    for comparison in parity.comparisons:
        name = _short(comparison.provider)
        speed.add_row(comparison.form, name, f"{comparison.run_ms:.3g}", f"{comparison.speed:.2f}")
    console = Console()
    console.print(table, speed)
    for each in parity.windows:
        console.print(f"{each.name}: {each.windows} windows, {each.what}", highlight=False)
    versions = ", ".join(f"{name} {version}" for name, version in parity.versions.items())
    console.print(
        "Errors are the score's, relative; decided alike is the least of "
        f"{', '.join(budget.words for budget in parity.budgets)}. Measured {parity.created} on {parity.machine}; {versions}.",
        highlight=False,
    )
    for form, verdict in parity.verdicts.items():
        console.print(f"{form} {verdict}", highlight=False)


def _short(provider: str) -> str:
    return provider.removesuffix("ExecutionProvider")


def _row(parity: Parity, comparison: Comparison, of: WindowSet) -> list[str]:
    found = comparison.sets[of.name]
    errors = found.errors["score"].relative
    differing, words = max((count, each.words) for count, each in zip(found.differing, parity.budgets, strict=True))
    alike = f"{1 - differing / of.windows:.2%} ({words})" if differing else "all"
    return [of.name, f"{errors.p50:.0e}", f"{errors.p99:.0e}", f"{errors.max:.0e}", alike]
