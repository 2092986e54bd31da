"""Collects what is wrong with a configuration, so that one run of the check names everything."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from agent.config.load import unreadable
from agent.config.rights import open_to_anybody
from agent.errors import ConfigError, Problem
from agent.quantities import parse_duration_ns
from agent.toml_structs import KeyPath, Locate

Result = TypeVar("Result")

# What MQTT topics, Home Assistant's discovery and DEVICE.CHANNEL all allow in a name.
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Findings:
    """Problems forbid a start, warnings do not; both keep the order in which they were found."""

    def __init__(
        self,
        locate: Locate,
        beside: Path,
        problems: Iterable[Problem] = (),
        profiles: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`profiles` are texts that stand in for the files of profiles, by the names that the agent's file has for them."""
        self.locate = locate
        self.profiles = profiles
        self.beside = beside  # the folder of the agent's file, from which relative paths in it start
        self.problems = list(problems)
        self.warnings: list[Problem] = []

    def problem(self, path: KeyPath, what: str, remedy: str = "") -> None:
        """Note a problem at the key `path`."""
        self.problems.append(Problem(self.locate(path), what, remedy))

    def warn(self, path: KeyPath, what: str, remedy: str = "") -> None:
        """Note something that works and is still not what was likely meant."""
        self.warnings.append(Problem(self.locate(path), what, remedy))

    def attempt(self, step: Callable[[], Result]) -> Result | None:
        """The result of `step`, or None and its problems noted where it raises ConfigError."""
        try:
            return step()
        except ConfigError as error:
            self.problems.extend(error.problems)
            return None

    def parsed(self, path: KeyPath, text: str, parser: Callable[[str], Result]) -> Result | None:
        """`text` as `parser` reads it, or None and a problem where it raises ValueError."""
        try:
            return parser(text)
        except ValueError as error:
            self.problem(path, str(error))
            return None

    def duration_ns(self, path: KeyPath, text: str, shortest: str, longest: str) -> int:
        """A duration within limits; 0 and a problem where it is none."""
        found = self.parsed(path, text, parse_duration_ns)
        if found is None:
            return 0
        if not parse_duration_ns(shortest) <= found <= parse_duration_ns(longest):
            self.problem(path, f"'{text}' is outside of {shortest} to {longest}")
        return found

    def read(self, path: KeyPath, file: str, longest_bytes: int) -> bytes | None:
        """The bytes of a file, or None and a problem; one byte over the bound shows a file that is too long."""
        full = self.beside / file
        self.warn_of_writers(path, full)
        try:
            with full.open("rb") as opened:
                return opened.read(longest_bytes + 1)
        except OSError as error:
            self.problems.append(unreadable(self.locate(path), full, error))
            return None

    def warn_of_writers(self, path: KeyPath, file: Path) -> None:
        """Warn where every user of this box may change a file that decides what the agent does."""
        if (loose := open_to_anybody(file)) is not None:
            self.warn(path, f"everybody may write in {loose}", f"chmod o-w {loose}")

    def ids(self, section: str, ids: Iterable[str]) -> None:
        """Names that stand in topics and references are distinct and made of plain characters."""
        seen: set[str] = set()
        for index, name in enumerate(ids):
            self.identifier((section, index, "id"), name)
            if name in seen:
                self.problem((section, index, "id"), f"the id '{name}' is used twice", f"give each {section} its own")
            seen.add(name)

    def identifier(self, path: KeyPath, name: str) -> None:
        """A name that can stand in a topic."""
        if not _ID.fullmatch(name):
            self.problem(path, f"'{name}' cannot stand in a topic", "use 1 to 64 of A-Z a-z 0-9 _ -")
