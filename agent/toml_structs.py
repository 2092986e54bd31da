"""TOML text to typed structs, with every problem found at once and the line on which each one stands."""

from __future__ import annotations

import difflib
import re
import reprlib
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Generic, Literal, TypeVar

import msgspec

from agent.errors import ConfigError, Problem

KeyPath = tuple[str | int, ...]
Locate = Callable[[KeyPath], str]
Found = tuple[KeyPath, str, str]  # a problem that types cannot say: of which key, what is wrong, what to do
Struct = TypeVar("Struct", bound=msgspec.Struct)

_NAME = r"(?:[A-Za-z0-9_\-]+|\"(?:[^\"\\]|\\.)*\"|'[^']*')"
_DOTTED = rf"{_NAME}(?:\s*\.\s*{_NAME})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_DOTTED})\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(rf"\s*({_DOTTED})\s*=")
_OPENED = re.compile(r"\s*\[\s*(?:#.*)?$")
_ITEM = re.compile(r"\s*\{")
_CLOSED = re.compile(r"\s*\]")
_BLOCK = re.compile(r'"""(?:[^\\]|\\.)*?"""|\'\'\'.*?\'\'\'', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Parsed(Generic[Struct]):
    """A struct and the way back from one of its keys to a line of its file."""

    value: Struct
    locate: Locate

    def placed(self, found: Iterable[Found]) -> list[Problem]:
        """Each with its line."""
        return [Problem(self.locate(path), what, remedy) for path, what, remedy in found]


@dataclass(frozen=True, slots=True)
class Survey(Generic[Struct]):
    """All problems of a file's form; `value` is None where they leave no whole struct, unknown keys alone leave one."""

    value: Struct | None
    locate: Locate
    problems: tuple[Problem, ...]


def parse(text: str, filename: str, kind: type[Struct]) -> Parsed[Struct]:
    """Read `text` as a `kind`; raises ConfigError with all of its problems, each with file, line and key path."""
    surveyed = survey(text, filename, kind)
    if surveyed.value is None or surveyed.problems:
        raise ConfigError(surveyed.problems)
    return Parsed(surveyed.value, surveyed.locate)


def survey(text: str, filename: str, kind: type[Struct]) -> Survey[Struct]:
    """Read `text` as far as it is a `kind`, for a caller that goes on to look for further problems; raises nothing."""
    locate = locator(text, filename)
    try:
        document = tomllib.loads(text)
    except (
        ValueError,
        RecursionError,
    ) as error:  # beside its own error tomllib lets both through, for huge numbers and nests
        return Survey(None, locate, (Problem(filename, f"not TOML: {error}", "mend the syntax there"),))
    problems = tuple(_problems(document, kind, (), locate))
    try:
        return Survey(msgspec.convert(document, kind), locate, problems)
    except (msgspec.ValidationError, OverflowError):  # each of its reasons is among the problems
        return Survey(None, locate, problems)


def nearest(word: str, known: typing.Iterable[str]) -> str:
    """A remedy that names the closest of `known`, or all of them where none is close."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(names) or 'none'}"


def locator(text: str, filename: str) -> Locate:
    """A function from a key path to `FILE:LINE: path`; a key inside an inline table is found at its table's line."""
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
    """Line of each table header, of each key, and of each inline table that begins a line of an array."""
    lines: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    array: KeyPath | None = None
    without_blocks = _BLOCK.sub(lambda block: '""' + "\n" * block[0].count("\n"), text)
    for number, line in enumerate(without_blocks.split("\n"), start=1):
        if header := _HEADER.match(line):
            path = _resolve(_names(header[2]), counts)
            if header[1] == "[[":
                counts[path] = counts.get(path, -1) + 1
                path = (*path, counts[path])
            table, array = path, None
            lines.setdefault(table, number)
        elif array is not None and _ITEM.match(line):
            lines.setdefault((*array, counts[array]), number)
            counts[array] += len(re.findall(r"\}\s*,\s*\{", line)) + 1
        elif array is not None and _CLOSED.match(line):
            array = None
        elif key := _KEY.match(line):
            names = _names(key[1])
            for length in range(1, len(names) + 1):
                lines.setdefault((*table, *names[:length]), number)
            if _OPENED.match(line, key.end()):
                array = (*table, *names)
                counts[array] = 0
    return lines


def _names(dotted: str) -> tuple[str, ...]:
    return tuple(name.strip("\"'") for name in re.findall(_NAME, dotted))


def _resolve(names: tuple[str, ...], counts: Mapping[KeyPath, int]) -> KeyPath:
    """Put the index of the latest element behind every name of an array of tables but the last name."""
    path: KeyPath = ()
    for name in names[:-1]:
        path = (*path, name)
        if path in counts:
            path = (*path, counts[path])
    return (*path, names[-1])


def _problems(value: object, kind: object, path: KeyPath, locate: Locate) -> Iterator[Problem]:
    """Every way in which `value` is not a `kind`, found by walking both together, deepest first."""
    found = False
    for problem in _inner_problems(value, _bare(kind), path, locate):
        found = True
        yield problem
    if found:
        return
    try:  # what is left: plain values, and rules that bind several keys of a struct
        msgspec.convert(value, kind)
    except (msgspec.ValidationError, OverflowError) as error:
        shown = "" if isinstance(value, dict | list) else f", found {reprlib.repr(value)}"
        yield Problem(locate(path), f"{error}{shown}")


def _inner_problems(value: object, kind: object, path: KeyPath, locate: Locate) -> Iterator[Problem]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        if isinstance(value, dict):
            yield from _struct_problems(value, kind, path, locate)
        else:  # the value stays unsaid: a password may have been written where a table should name its file
            keys = ", ".join(field.encode_name for field in msgspec.structs.fields(kind))
            yield Problem(locate(path), f"expected a table, found {type(value).__name__}", f"its keys are {keys}")
    elif typing.get_origin(kind) is Literal and value not in typing.get_args(kind):
        yield Problem(
            locate(path),
            f"{reprlib.repr(value)} is no choice here",
            nearest(str(value), map(str, typing.get_args(kind))),
        )
    elif typing.get_origin(kind) is list and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _problems(item, typing.get_args(kind)[0], (*path, index), locate)
    elif typing.get_origin(kind) is dict and isinstance(value, dict):
        for key, item in value.items():
            yield from _problems(item, typing.get_args(kind)[1], (*path, key), locate)


def _struct_problems(
    table: Mapping[str, object], kind: type[msgspec.Struct], path: KeyPath, locate: Locate
) -> Iterator[Problem]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    tag = kind.__struct_config__.tag_field
    for key in table:
        if key not in fields and key != tag:
            yield Problem(locate((*path, key)), f"unknown key '{key}'", nearest(key, fields))
    for name, field in fields.items():
        if name in table:
            yield from _problems(table[name], field.type, (*path, name), locate)
        elif field.required:
            yield Problem(locate(path), f"the key '{name}' is missing", f"add {_sample(name, _bare(field.type), path)}")


def _sample(name: str, kind: object, path: KeyPath) -> str:
    """How the missing key is written: as a table's header where it stands at the top of the file, else as a key."""
    item = typing.get_args(kind)[0] if typing.get_origin(kind) is list else kind
    if path or not (isinstance(item, type) and issubclass(item, msgspec.Struct)):
        return f"{name} = ..."
    return f"[{name}]" if item is kind else f"[[{name}]]"


def _bare(kind: object) -> object:
    """`Annotated[X, ...]` and `X | None` as X: an absent key is None, a present one must be an X."""
    if typing.get_origin(kind) is Annotated:
        return _bare(typing.get_args(kind)[0])
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        others = [option for option in typing.get_args(kind) if option is not type(None)]
        return _bare(others[0]) if len(others) == 1 else kind
    return kind
