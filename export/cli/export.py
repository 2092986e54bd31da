"""`stethos model export`: a run folder in, a signed bundle out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from export.cli.extra import require_training

if TYPE_CHECKING:
    from export.bundle import Exported


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--key",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Private key, see 'stethos bundle keygen'.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for NAME-VERSION.stethos."
)
@click.option("--version", default="1.0.0", show_default=True, help="For people; the file is named after it.")
@click.option(
    "--counter", type=click.IntRange(min=1), default=1, show_default=True, help="Must grow with every release."
)
def export(run_dir: Path, key: Path, out: Path, version: str, counter: int) -> None:
    """Export the model in RUN_DIR to ONNX, check it, and sign it as a bundle."""
    require_training()
    path, exported = signed(run_dir, key, out, version=version, counter=counter)
    click.echo(f"{path}: {len(exported.data)} bytes, {exported.manifest.golden.windows} golden windows")
    click.echo(f"  PyTorch and ONNX Runtime agree to {exported.parity:.1g}")


def signed(run_dir: Path, key: Path, out: Path, *, version: str, counter: int) -> tuple[Path, Exported]:
    """Write the bundle of the run in `run_dir` into the folder `out`; raises ConfigError where the key cannot be read."""
    from agent.errors import ConfigError, Problem
    from agent.infer.bundle import SUFFIX
    from agent.infer.keys import private_key
    from export import bundle, rundir

    try:
        pem = key.read_bytes()
    except OSError as error:
        raise ConfigError(
            [Problem(str(key), f"cannot be read: {error.strerror}", "see 'stethos bundle keygen'")]
        ) from error
    run = rundir.load(run_dir)
    exported = bundle.export(run, private_key(pem, str(key)), version=version, counter=counter)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{run.record.name}-{version}{SUFFIX}"
    path.write_bytes(exported.data)
    return path, exported
