"""Find a firmware profile by its name: beside the agent's file, then in /etc, then among those that ship with Stethos."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.config.load import read_text
from agent.decode.profile import Profile, parse_profile
from agent.errors import ConfigError, Problem
from agent.toml_structs import nearest

FOLDER = "firmware_configs"
SYSTEM_FOLDER = Path("/etc/stethos") / FOLDER


class ProfileMissing(Exception):  # noqa: N818 - the caller turns it into a problem at its own place
    """No profile has this name; `available` are those that exist."""

    def __init__(self, available: Sequence[str]) -> None:
        self.available = tuple(available)
        super().__init__(f"available: {', '.join(self.available)}")


def read_profile(name: str, beside: Path) -> Profile:
    """The profile `name` means: a path (ending in .toml, relative to `beside`), or a name in one of the folders.

    Raises ProfileMissing, and ConfigError with the problems of the profile itself.
    """
    path = find_profile(name, beside)
    return parse_profile(read_text(path), str(path))


def profile_named(name: str, where: str) -> Profile:
    """The profile that a command's argument `where` asks for, from the working folder on; raises ConfigError."""
    try:
        return read_profile(name, Path())
    except ProfileMissing as error:
        remedy = nearest(name, error.available)
        raise ConfigError([Problem(where, f"there is no profile '{name}'", remedy)]) from error


def find_profile(name: str, beside: Path) -> Path:
    """The file that `name` means; raises ProfileMissing."""
    if name.endswith(".toml"):
        return beside / name
    for folder in _folders(beside):
        if (path := folder / f"{name}.toml").is_file():
            return path
    raise ProfileMissing(available_profiles(beside))


def available_profiles(beside: Path) -> list[str]:
    """Every name that can be used for an agent's file in the folder `beside`."""
    return sorted({path.stem for folder in _folders(beside) for path in folder.glob("*.toml")})


def _folders(beside: Path) -> Iterator[Path]:
    """Nearest first, so that a site can replace a shipped profile."""
    yield beside / FOLDER
    yield SYSTEM_FOLDER
    yield Path(str(importlib.resources.files(FOLDER)))
