"""Labels: what a column, a folder's name or a file of intervals says of each row, as 0 for normal and k for the k-th kind of fault."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agent.errors import ConfigError, Problem
from agent.toml_structs import nearest
from agent.types import Int64Array
from export.dataset_schema import NORMAL, Dataset
from export.moments import moment_ns

_NOT_AT_FAULT = frozenset({"0", "false", NORMAL})


class Classes:
    """What a label is called in the data, and the number that it has here."""

    def __init__(self, dataset: Dataset) -> None:
        numbers = {name: index for index, name in enumerate((NORMAL, *dataset.kinds))}
        self._of = {_plain(word): numbers[name] for word, name in dataset.classes.items()}
        self._of |= {name: numbers[name] for name in dataset.classes.values() if name not in self._of}

    def label(self, word: str, where: str) -> int:
        """The label of a word; without [classes] whatever is not 0, false or normal is a fault. Raises ConfigError."""
        plain = _plain(word)
        if plain in self._of:
            return self._of[plain]
        if plain.lower() in _NOT_AT_FAULT:
            return 0
        if not plain:
            raise ConfigError([Problem(where, "has no label", "write 0 for normal, 1 for anomalous")])
        if self._of:
            raise ConfigError([Problem(where, f"[classes] does not have '{plain}'", nearest(plain, self._of))])
        return 1

    def of_column(self, column: pa.ChunkedArray, rows: Int64Array, where: str) -> Int64Array:
        """Labels int64 [n] of a column of numbers, words or truth values, `rows` of its file; raises ConfigError for one without."""
        text = column.cast(pa.string()) if not pa.types.is_string(column.type) else column
        encoded = pc.utf8_trim_whitespace(text.fill_null("")).combine_chunks().dictionary_encode()
        words, place = encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False)
        first = {word: int(rows[np.argmax(place == index)]) for index, word in enumerate(words)}
        kinds = [self.label("" if word.lower() == "nan" else word, f"{where}: row {first[word]}") for word in words]
        return np.array(kinds, np.int64)[place] if len(place) else np.empty(0, np.int64)


def _plain(word: str) -> str:
    """1.0 and 1 are one label."""
    word = word.strip()
    try:
        number = float(word)
    except ValueError:
        return word
    return str(int(number)) if number.is_integer() else word


@dataclass(frozen=True, slots=True)
class Interval:
    """A time at fault, both ends included."""

    start_ns: int
    end_ns: int
    label: int


def read_intervals(path: Path, of: Path, classes: Classes) -> list[Interval]:
    """CSV with the columns start, end and class (which may be absent), or JSON: a list of [start, end, class] or of objects.

    A JSON object maps the end of each recording's path to its list; `of` is the recording. Raises ConfigError.
    """
    try:
        entries = _json(path, of) if path.suffix == ".json" else _csv(path)
        return [_interval(entry, f"{path}: interval {index}", classes) for index, entry in enumerate(entries)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        remedy = "give start, end and, if there are several kinds, class"
        raise ConfigError([Problem(str(path), f"holds no intervals: {error!r}", remedy)]) from error


def _csv(path: Path) -> list[Sequence[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [_fields(row) for row in csv.DictReader(file, skipinitialspace=True)]


def _json(path: Path, of: Path) -> list[Sequence[str]]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(content, dict):
        content = next((entries for name, entries in content.items() if of.as_posix().endswith(name)), [])
    return [_fields(entry) if isinstance(entry, dict) else entry for entry in content]


def _fields(entry: dict[str, str]) -> list[str]:
    return [entry["start"], entry["end"], *([entry["class"]] if entry.get("class") else [])]


def _interval(entry: Sequence[str], where: str, classes: Classes) -> Interval:
    start_ns, end_ns = moment_ns(entry[0]), moment_ns(entry[1])
    if end_ns < start_ns:
        raise ValueError(f"{where} ends before it begins")
    return Interval(start_ns, end_ns, classes.label(str(entry[2]), where) if len(entry) > 2 else 1)


def of_intervals(t_ns: Int64Array, intervals: Sequence[Interval]) -> Int64Array:
    """Labels int64 [n] at these times; where intervals overlap, the later one in the file holds."""
    labels = np.zeros(len(t_ns), np.int64)
    for interval in intervals:
        labels[(t_ns >= interval.start_ns) & (t_ns <= interval.end_ns)] = interval.label
    return labels
