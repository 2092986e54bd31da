"""TOML text to typed structs, with every problem found at once and the line on which each one stands."""

from __future__ import annotations

import difflib
import re
import tomllib
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from agent.errors import ConfigError, Problem

KeyPath = tuple[str | int, ...]
Locate = Callable[[KeyPath], str]
Struct = TypeVar("Struct", bound=msgspec.Struct)

_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.\-\" ]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"\s*([A-Za-z0-9_\-]+|\"[^\"]+\")\s*=")


@dataclass(frozen=True, slots=True)
class Parsed(Generic[Struct]):
    """A struct and the way back from one of its keys to a line of its file."""

    value: Struct
    locate: Locate


def parse(text: str, filename: str, kind: type[Struct]) -> Parsed[Struct]:
    """Read `text` as a `kind`; raises ConfigError with all of its problems, each with file, line and key path."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([Problem(filename, f"not TOML: {error}", "mend the syntax at that line")]) from error
    locate = locator(text, filename)
    problems = list(_problems(document, kind, (), locate))
    if problems:
        raise ConfigError(problems)
    return Parsed(msgspec.convert(document, kind), locate)


def nearest(word: str, known: typing.Iterable[str]) -> str:
    """A remedy that names the closest of `known`, or all of them where none is close."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(names) or 'none'}"


def locator(text: str, filename: str) -> Locate:
    """A function from a key path to `FILE:LINE path`; a key inside an inline table is found at its table's line."""
    lines = _key_lines(text)

    def locate(path: KeyPath) -> str:
        known = next((path[:length] for length in range(len(path), 0, -1) if path[:length] in lines), None)
        line = f":{lines[known]}" if known else ""
        return f"{filename}{line}: {spell(path)}" if path else filename

    return locate


def spell(path: KeyPath) -> str:
    """`("device", 1, "serial", "baud")` as `device[1].serial.baud`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).lstrip(".")


def _key_lines(text: str) -> dict[KeyPath, int]:
    """Line of each table header and key; approximate for keys inside multi-line values, which need no finer place."""
    lines: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            path = _resolve(tuple(part.strip(' "') for part in header[2].split(".")), counts)
            if header[1] == "[[":
                counts[path] = counts.get(path, -1) + 1
                path = (*path, counts[path])
            table = path
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault((*table, key[1].strip('"')), number)
    return lines


def _resolve(names: tuple[str, ...], counts: Mapping[KeyPath, int]) -> KeyPath:
    """Put the index of the latest element behind every name of an array of tables but the last name."""
    path: KeyPath = ()
    for name in names[:-1]:
        path = (*path, name)
        if path in counts:
            path = (*path, counts[path])
    return (*path, names[-1])


def _problems(value: object, kind: object, path: KeyPath, locate: Locate) -> Iterator[Problem]:
    """Every way in which `value` is not a `kind`, found by walking both together."""
    kind = _without_none(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        if isinstance(value, dict):
            yield from _struct_problems(value, kind, path, locate)
        else:
            yield Problem(locate(path), f"expected a table, found {value!r}")
    elif typing.get_origin(kind) is list and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _problems(item, typing.get_args(kind)[0], (*path, index), locate)
    elif typing.get_origin(kind) is dict and isinstance(value, dict):
        for key, item in value.items():
            yield from _problems(item, typing.get_args(kind)[1], (*path, key), locate)
    else:
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            yield Problem(locate(path), f"{error}, found {value!r}")


def _struct_problems(
    table: Mapping[str, object], kind: type[msgspec.Struct], path: KeyPath, locate: Locate
) -> Iterator[Problem]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for key in table.keys() - fields.keys():
        yield Problem(locate((*path, key)), f"unknown key '{key}'", nearest(key, fields))
    for name, field in fields.items():
        if name in table:
            yield from _problems(table[name], field.type, (*path, name), locate)
        elif field.required:
            yield Problem(locate(path), f"the key '{name}' is missing", f"add {name} = ...")


def _without_none(kind: object) -> object:
    """`X | None` as X: an absent key is None, a present one must be an X."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        others = [option for option in typing.get_args(kind) if option is not type(None)]
        return others[0] if len(others) == 1 else kind
    return kind
