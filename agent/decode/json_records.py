"""JSON objects to numbers: the wanted paths become one struct type, so that nothing else is ever built."""

from __future__ import annotations

import re
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

import msgspec

from agent.decode.envelope import Rejected
from agent.decode.records import Records, TextColumns
from agent.decode.schema import JsonRecord, Profile

# Every place of an array up to the wanted one costs a field, so that indices end at 999.
_PATH = re.compile(r"[^.\[\]]+(\[\d{1,3}\])*(\.[^.\[\]]+(\[\d{1,3}\])*)*")
_STEP = re.compile(r"[^.\[\]]+|\[\d+\]")

Step = str | int
_Tree = dict[Step, "_Tree"]


class JsonFormat:
    """Reads one object a message."""

    def __init__(self, profile: Profile, layout: JsonRecord) -> None:
        self._columns = TextColumns(profile)
        paths = [parse_path(layout.fields[field]) for field in self._columns.fields]
        shape, attributes = _compile(paths)
        self._decode = msgspec.json.Decoder(shape).decode
        self._single = len(paths) == 1
        self._values = attrgetter(*attributes)

    def read(self, records: list[bytes]) -> tuple[Records, Rejected]:
        """A message that is no such object is rejected; a value that is absent, null or no number is missing."""
        decode, values = self._decode, self._values
        rows, fit, rejected = [], [], Rejected()
        for index, record in enumerate(records):
            try:
                rows.append(values(decode(record)))
                fit.append(index)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                rejected[index] = "decode_errors"
        columns = [rows] if self._single else list(zip(*rows, strict=True))
        table, without_sample = self._columns.read(columns if rows else [])
        rejected.update({fit[index]: reason for index, reason in without_sample.items()})
        return table, rejected


def parse_path(text: str) -> list[Step]:
    """`"axes[0].rms"` as `["axes", 0, "rms"]`; raises ValueError for anything else."""
    if not _PATH.fullmatch(text):
        raise ValueError(f"'{text}' is no path; write one like 'drive.current' or 'axes[0].rms'")
    return [int(step[1:-1]) if step.startswith("[") else step for step in _STEP.findall(text)]


def clash(paths: Mapping[str, list[Step]]) -> str | None:
    """Why the paths of these fields cannot all be true of one object; None where they can."""
    for name, path in paths.items():
        for other, longer in paths.items():
            shared = next((i for i, (a, b) in enumerate(zip(path, longer, strict=False)) if a != b), None)
            if shared is None and len(path) < len(longer):
                return f"'{name}' names a value where '{other}' needs an object"
            if shared is not None and type(path[shared]) is not type(longer[shared]):
                return f"'{name}' and '{other}' need an object and an array in one place"
    return None


def _compile(paths: list[list[Step]]) -> tuple[type[msgspec.Struct], list[str]]:
    """A struct type that holds just these paths, and the attribute path of each."""
    tree: _Tree = {}
    for path in paths:
        node = tree
        for step in path[:-1]:
            node = node.setdefault(step, {})
        node.setdefault(path[-1], {})
    return _struct(tree), [_attributes(tree, path) for path in paths]


def _struct(tree: _Tree) -> type[msgspec.Struct]:
    """Absent values are NaN, absent branches are full of NaN; attributes are numbered since keys may be any text."""
    is_array = any(isinstance(step, int) for step in tree)
    steps: list[Step] = list(range(max(map(int, tree)) + 1)) if is_array else list(tree)
    fields: list[tuple[str, Any, Any]] = []
    for step in steps:
        branch = tree.get(step)
        kind = _struct(branch) if branch else Any
        default = msgspec.field(default_factory=kind) if branch else float("nan")
        fields.append((_slot(tree, step), kind, default))
    rename = None if is_array else {_slot(tree, step): str(step) for step in steps}
    return msgspec.defstruct("Shape", fields, array_like=is_array, rename=rename, gc=False)


def _slot(tree: _Tree, step: Step) -> str:
    return f"f{step}" if isinstance(step, int) else f"f{list(tree).index(step)}"


def _attributes(tree: _Tree, path: list[Step]) -> str:
    slots = []
    for step in path:
        slots.append(_slot(tree, step))
        tree = tree[step]
    return ".".join(slots)
