"""`stethos model export`: a run folder in, a signed bundle out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from export.cli.extra import require_training

if TYPE_CHECKING:
    from export.bundle import Exported
    from export.release import Release
    from export.rundir import TrainedRun
    from export.trial_windows import Trial

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--key",
    "keys",
    type=_FILE,
    required=True,
    multiple=True,
    help="Private key, see 'stethos bundle keygen'; repeat it where boxes want several signatures.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for NAME-VERSION.stethos."
)
@click.option("--version", default="1.0.0", show_default=True, help="For people; the file is named after it.")
@click.option(
    "--counter", type=click.IntRange(min=1), default=1, show_default=True, help="Must grow with every release."
)
@click.option("--variants", default="", metavar="NAMES", help="fp16, int8 or both: shipped if faster and as right.")
@click.option(
    "--batch",
    type=click.IntRange(min=1, max=1024),
    default=1,
    show_default=True,
    help="Windows that the box scores at once, one for each machine of this model: variants are timed so.",
)
@click.option("--promise", metavar="TIME", help="Median latency of one window on the boxes, as in '5 ms'.")
@click.option("--expires", metavar="DATE", help="As in 2027-06-30; boxes refuse the bundle from then on.")
@click.option(
    "--device-class", "device_classes", multiple=True, help="Boxes it is for; may be repeated, any if absent."
)
@click.option("--tensorrt", default="", metavar="GPUS", help="Build TensorRT-RTX engines, as in SM86,SM89,SM120.")
@click.option("--encrypt-key", type=_FILE, help="Encrypt the model, see 'stethos bundle keygen --decryption'.")
def export(
    *,
    run_dir: Path,
    keys: tuple[Path, ...],
    out: Path,
    version: str,
    counter: int,
    variants: str,
    batch: int,
    promise: str | None,
    expires: str | None,
    device_classes: tuple[str, ...],
    tensorrt: str,
    encrypt_key: Path | None,
) -> None:
    """Export the model in RUN_DIR to ONNX, check it, and sign it as a bundle."""
    require_training()
    from agent.cli.files import model_key
    from export.release import Release, parse_expiry, parse_promise, parse_variants

    release = Release(
        version=version,
        counter=counter,
        expires=parse_expiry(expires),
        device_classes=device_classes,
        promise_ms=parse_promise(promise),
        variants=parse_variants(variants),
        batch=batch,
        capabilities=tuple(name.strip() for name in tensorrt.split(",") if name.strip()),
        encryption_key=None if encrypt_key is None else model_key(encrypt_key),
    )
    path, exported = signed(run_dir, keys, out, release)
    manifest = exported.manifest
    click.echo(f"{path}: {len(exported.data)} bytes, {manifest.golden.windows} golden windows")
    click.echo(f"  PyTorch and ONNX Runtime agree to {exported.parity:.1g}")
    for form, verdict in exported.certificate.verdicts.items():
        click.echo(f"  {form} {verdict}")
    if manifest.engines:
        click.echo(f"  engines for {', '.join(name.upper() for name in manifest.engines)}")
    if manifest.promise is not None:
        click.echo(f"  {_kept(manifest.promise.batch_1_ms, exported)}")


def signed(run_dir: Path, keys: Sequence[Path], out: Path, release: Release) -> tuple[Path, Exported]:
    """Write the bundle of the run in `run_dir` into the folder `out`; raises ConfigError where a key cannot be read."""
    from rich.console import Console

    from agent.cli.files import read
    from agent.infer.bundle import SUFFIX
    from agent.infer.keys import private_key
    from export import bundle, rundir
    from export.cli.engine_progress import EngineProgress

    private = [private_key(read(key), str(key)) for key in keys]
    run = rundir.load(run_dir)
    with EngineProgress(Console(stderr=True)) as progress:
        exported = bundle.export(run, private, release, trial=trial_of(run), progress=progress)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{run.record.name}-{release.version}{SUFFIX}"
    path.write_bytes(exported.data)
    return path, exported


def trial_of(run: TrainedRun) -> Trial:
    """The windows to compare forms on; without the data set those of the run's folder alone, which is said."""
    from agent.errors import ConfigError
    from export import trial_windows

    try:
        return trial_windows.gather(run.record)
    except ConfigError as error:
        few = f"the certificate rests on {len(run.samples)} golden windows alone"
        click.echo(f"  {error.problems[0]}: {few}", err=True)
        return trial_windows.of_samples(run)


def _kept(promised_ms: float, exported: Exported) -> str:
    """Whether this machine would keep the promise, which is about others."""
    certificate = exported.certificate
    here = ", ".join(f"{each.form} {each.run_ms:.2g} ms" for each in certificate.comparisons)
    return f"promises one window in {promised_ms:g} ms; {certificate.batch} at once on {certificate.machine}: {here}"
