"""Read the operator's file from disk; what it says is judged elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.config.schema import Config
from agent.errors import ConfigError, Problem
from agent.toml_structs import Locate, survey


@dataclass(frozen=True, slots=True)
class Loaded:
    """The agent's file as structs, the way back to its lines, and the problems of its form: its unknown keys."""

    config: Config
    locate: Locate
    problems: tuple[Problem, ...]


def load(path: Path, kind: type[Config] = Config) -> Loaded:
    """Read the agent's file as a `kind`; raises ConfigError where it is absent, or too broken to be judged any further."""
    return load_text(read_text(path), str(path), kind)


def load_text(text: str, name: str, kind: type[Config] = Config) -> Loaded:
    """Read the text of an agent's file, called `name` in problems; raises ConfigError as `load` does."""
    found = survey(text, name, kind)
    if found.value is None:
        raise ConfigError(found.problems)
    return Loaded(found.value, found.locate, found.problems)


def read_text(path: Path) -> str:
    """The UTF-8 text of a file; raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([unreadable(str(path), path, error)]) from error
    except UnicodeDecodeError as error:
        what = f"byte {error.start} is not UTF-8"
        raise ConfigError([Problem(str(path), what, "save the file as UTF-8 text")]) from error


def unreadable(where: str, path: Path, error: OSError) -> Problem:
    """The problem of a file that the system will not hand over."""
    remedies = {
        FileNotFoundError: "check the path, or create the file",
        PermissionError: "let the user that runs stethos read it",
        IsADirectoryError: "give the path of a file",
    }
    return Problem(where, f"cannot read {path}: {error.strerror}", remedies.get(type(error), ""))
