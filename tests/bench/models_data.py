"""Where the labelled data sets of the models' benchmarks lie."""

from __future__ import annotations

import os
from pathlib import Path

DATA = Path(os.environ.get("STETHOS_DATA", Path(__file__).parents[3] / "shared" / "data"))


def needed(name: str) -> Path:
    """The folder of one set; raises SystemExit that says what to do where it is not there."""
    folder = DATA / name
    if not folder.is_dir():
        raise SystemExit(f"{name} is not at {folder}: set $STETHOS_DATA to the data folder")
    return folder
