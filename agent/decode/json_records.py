"""JSON objects to numbers: the wanted paths become one struct type, so that nothing else is ever built."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np

from agent.decode.envelope import Rejected
from agent.decode.records import Arrivals, Records, TextColumns
from agent.decode.schema import JsonRecord, Profile
from agent.metrics import Counters
from agent.types import NANOSECONDS, Int64Array

# Every place of an array up to the wanted one costs a field, so that indices end at 999.
_PATH = re.compile(r"[^.\[\]]+(\[(\d{1,3}|\*)\])*(\.[^.\[\]]+(\[(\d{1,3}|\*)\])*)*")
_STEP = re.compile(r"[^.\[\]]+|\[\d+\]|\[\*\]")
EACH = -1  # the step [*]: every element of an array

Step = str | int
_Tree = dict[Step, "_Tree"]
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class JsonFormat:
    """Reads one object a message: one sample, or as many as the arrays that its paths go through have elements.

    counters: row_errors (samples without a number or time, beside good ones of the same message).
    """

    def __init__(self, profile: Profile, layout: JsonRecord, counters: Counters) -> None:
        self._columns = TextColumns(profile)
        self._counters = counters
        paths = [parse_path(layout.fields[field]) for field in self._columns.fields]
        shape, attributes = _compile(paths)
        self._decode = msgspec.json.Decoder(shape).decode
        self._single = len(paths) == 1
        self._values = attrgetter(*map(".".join, attributes)) if not any(EACH in path for path in paths) else None
        getters = [_getter(path, attribute) for path, attribute in zip(paths, attributes, strict=True)]
        self._arrays = {column: getters[column] for column, path in enumerate(paths) if EACH in path}
        self._shared = {column: getters[column] for column, path in enumerate(paths) if EACH not in path}
        # What stands once in a message of several samples is said of the first of them.
        once = {self._columns.fields[column] for column in self._shared}
        self._counts_first = profile.sequence is not None and profile.sequence.field in once
        self._times_first = profile.time.field in once
        self._period_ns = NANOSECONDS / profile.rate_hz

    def read(self, records: Sequence[bytes], _arrivals: Arrivals, /) -> tuple[Records, Rejected]:
        """A message that is no such object is rejected; a value that is absent, null or no number is missing."""
        if self._values is None:
            return self._read_arrays(records)
        decode, values = self._decode, self._values
        rows, fit, rejected = [], [], Rejected()
        for index, record in enumerate(records):
            try:
                rows.append(values(decode(record)))
                fit.append(index)
            except _BROKEN:
                rejected[index] = "decode_errors"
        columns = [rows] if self._single else list(zip(*rows, strict=True))
        table, without_sample = self._columns.read(columns if rows else [])
        rejected.update({fit[index]: reason for index, reason in without_sample.items()})
        return table, rejected

    def _read_arrays(self, records: Sequence[bytes]) -> tuple[Records, Rejected]:
        columns: list[list[Any]] = [[] for _ in self._columns.fields]
        counts: dict[int, int] = {}
        for index, record in enumerate(records):
            try:
                shape = self._decode(record)
            except _BROKEN:
                continue
            arrays = [get(shape) for get in self._arrays.values()]
            lengths = set(map(len, arrays))
            if len(lengths) != 1 or 0 in lengths:
                continue
            (counts[index],) = lengths
            for column, array in zip(self._arrays, arrays, strict=True):
                columns[column] += array
            for column, get in self._shared.items():
                columns[column].append(get(shape))
        repeats = np.array(list(counts.values()), dtype=np.int64)
        owner = np.repeat(np.array(list(counts), dtype=np.int64), repeats)
        place = np.arange(len(owner)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        table, without_sample = self._columns.read(columns if counts else [], repeats)
        if without_sample:
            owner, place = np.delete(owner, list(without_sample)), np.delete(place, list(without_sample))
            good = set(owner.tolist())
            counts = {index: count for index, count in counts.items() if index in good}
            self._counters.add("row_errors", sum(counts.values()) - len(owner))
        rejected: Rejected = {index: "decode_errors" for index in range(len(records)) if index not in counts}
        return self._placed(table, owner, place), rejected

    def _placed(self, table: Records, owner: Int64Array, place: Int64Array) -> Records:
        """Counters and times that stand once in a message, told for each of its samples."""
        sequence, time_ns = table.sequence, table.time_ns
        if self._counts_first and sequence is not None:
            sequence = sequence + place
        if self._times_first and time_ns is not None:
            time_ns = time_ns + np.rint(place * self._period_ns).astype(np.int64)
        return Records(table.values, sequence, time_ns, owner)


def parse_path(text: str) -> list[Step]:
    """`"axes[0].rms"` as `["axes", 0, "rms"]`, `"x[*]"` as `["x", EACH]`; raises ValueError for anything else."""
    if not _PATH.fullmatch(text):
        raise ValueError(f"'{text}' is no path; write one like 'drive.current', 'axes[0].rms' or 'samples[*].x'")
    steps: list[Step] = [_step(step) for step in _STEP.findall(text)]
    if steps.count(EACH) > 1:
        raise ValueError(f"'{text}' goes through two arrays of samples; only one [*] can be told apart")
    return steps


def _step(text: str) -> Step:
    if text == "[*]":
        return EACH
    return int(text[1:-1]) if text.startswith("[") else text


def clash(paths: Mapping[str, list[Step]]) -> str | None:
    """Why the paths of these fields cannot all be true of one object; None where they can."""
    for name, path in paths.items():
        for other, longer in paths.items():
            shared = next((i for i, (a, b) in enumerate(zip(path, longer, strict=False)) if a != b), None)
            if shared is None and len(path) < len(longer):
                return f"'{name}' names a value where '{other}' needs an object"
            if shared is None:
                continue
            if type(path[shared]) is not type(longer[shared]):
                return f"'{name}' and '{other}' need an object and an array in one place"
            if EACH in (path[shared], longer[shared]):
                return f"'{name}' and '{other}' take one and every element of the same array"
    return None


def _compile(paths: list[list[Step]]) -> tuple[type[msgspec.Struct], list[list[str]]]:
    """A struct type that holds just these paths, and the attributes on the way of each, without [*]."""
    tree: _Tree = {}
    for path in paths:
        node = tree
        for step in path[:-1]:
            node = node.setdefault(step, {})
        node.setdefault(path[-1], {})
    return _struct(tree), [_attributes(tree, path) for path in paths]


def _getter(path: list[Step], attributes: list[str]) -> Callable[[Any], Any]:
    """A function from a shape to a value, or to the list of the values of all samples."""
    if EACH not in path:
        return attrgetter(".".join(attributes))
    depth = path.index(EACH)
    array = attrgetter(".".join(attributes[:depth]))
    if depth == len(attributes):
        return array
    inner = attrgetter(".".join(attributes[depth:]))
    return lambda shape: list(map(inner, array(shape)))


def _struct(tree: _Tree) -> type[msgspec.Struct]:
    """Absent values are NaN, absent branches are full of NaN; attributes are numbered since keys may be any text."""
    is_array = any(isinstance(step, int) for step in tree)
    steps: list[Step] = list(range(max(map(int, tree)) + 1)) if is_array else list(tree)
    fields: list[tuple[str, Any, Any]] = []
    for step in steps:
        kind: Any
        default: Any
        branch = tree.get(step)
        if branch and EACH in branch:
            kind = list[_struct(branch[EACH]) if branch[EACH] else Any]  # type: ignore[misc]
            default = msgspec.field(default_factory=list)
        else:
            kind = _struct(branch) if branch else Any
            default = msgspec.field(default_factory=kind) if branch else float("nan")
        fields.append((_slot(tree, step), kind, default))
    rename = None if is_array else {_slot(tree, step): str(step) for step in steps}
    return msgspec.defstruct("Shape", fields, array_like=is_array, rename=rename, gc=False)


def _slot(tree: _Tree, step: Step) -> str:
    return f"f{step}" if isinstance(step, int) else f"f{list(tree).index(step)}"


def _attributes(tree: _Tree, path: list[Step]) -> list[str]:
    slots = []
    for step in path:
        if step != EACH:
            slots.append(_slot(tree, step))
        tree = tree[step]
    return slots
