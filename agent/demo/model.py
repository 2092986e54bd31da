"""The demo's model: trained, judged and signed by the real commands, or the small bundle that is committed."""

from __future__ import annotations

import importlib.resources
import subprocess
import sys
from pathlib import Path

from agent.decode.profile import Profile
from agent.demo.files import Model, write_dataset
from agent.demo.screen import Screen
from agent.errors import StethosError

# Eight rows are 24 minutes: long enough to see a drift begin, short enough to tell of a step soon.
WINDOW, HOP = 8, 1
_BUNDLE, _KEY = "tep-1.0.0.stethos", "tep.pub"
_TIMEOUT_S = 300.0


def committed_model() -> Model:
    """The bundle that scripts/make-demo-bundle made."""
    folder = Path(str(importlib.resources.files("agent.demo")))
    return Model(folder / _BUNDLE, folder / _KEY)


def train_model(out: Path, profile: Profile, fault: int, screen: Screen) -> Model:
    """Data set, training run, key and bundle in the folder `out`, by the commands that a user would type.

    Raises StethosError when one of them fails.
    """
    dataset, run, key = write_dataset(out, profile, fault), out / "run", out / "tep.key"
    stethos(screen, "model", "train", dataset, "--window", WINDOW, "--hop", HOP, "--out", run)
    stethos(screen, "model", "evaluate", run)
    if not key.exists():
        stethos(screen, "bundle", "keygen", key.with_suffix(""))
    stethos(screen, "model", "export", run, "--key", key, "--out", out)
    return Model(out / _BUNDLE, out / _KEY)


def stethos(screen: Screen, *words: str | int | Path) -> None:
    """Show and run `stethos WORDS`; raises StethosError when it fails or takes too long."""
    arguments = [str(word) for word in words]
    screen.command(["stethos", *arguments])
    try:
        done = subprocess.run(
            [sys.executable, "-m", "agent.cli.main", *arguments],
            stdin=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise StethosError(f"'stethos {' '.join(arguments)}' took more than {_TIMEOUT_S:g} s") from error
    if done.returncode != 0:
        raise StethosError(f"'stethos {' '.join(arguments)}' failed with exit code {done.returncode}")
