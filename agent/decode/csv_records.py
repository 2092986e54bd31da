"""CSV lines to numbers: cells are told apart once for all lines of a call, and judged column by column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from agent.decode.envelope import Rejected
from agent.decode.pieces import Pieces
from agent.decode.records import Arrivals, Column, Records, TextColumns, numbers
from agent.decode.schema import CsvRecord, Profile

_NUMBERS = msgspec.json.Decoder(list[int | float])


class CsvFormat:
    """Reads lines of separated cells; quoting is not part of what sensors send."""

    def __init__(self, profile: Profile, layout: CsvRecord) -> None:
        self._columns = TextColumns(profile)
        self._positions = [layout.columns.index(field) for field in self._columns.fields]
        self._width = len(layout.columns)
        self._separator = layout.separator.encode()
        self._match = [
            (layout.columns.index(name), {str(value).encode() for value in values})
            for name, values in profile.match.items()
        ]
        self._skip_prefixes = tuple(prefix.encode() for prefix in layout.skip_prefixes)

    def read(self, records: Sequence[bytes], _arrivals: Arrivals, /) -> tuple[Records, Rejected]:
        """A line with too few or too many cells is rejected; a cell that is no number is missing."""
        lines = Pieces.of(records)
        rejected = self._unfit(lines)
        fit = np.delete(np.arange(len(lines)), list(rejected)) if rejected else None
        columns = self._cells(lines if fit is None else lines.only(fit))
        table, without_sample = self._columns.read(columns)
        if without_sample:
            places = range(len(lines)) if fit is None else fit.tolist()
            rejected.update({places[index]: reason for index, reason in without_sample.items()})
        return table, rejected

    def _cells(self, lines: Pieces) -> list[Column]:
        """The wanted columns: of numbers where every cell is a JSON number, which takes a third of the time, else of text."""
        width = self._width
        cells: Sequence[Any]
        try:
            cells = _NUMBERS.decode(b"[%b]" % lines.joined(b",").replace(self._separator, b","))
        except msgspec.DecodeError:
            cells = []
        if len(cells) != width * len(lines):  # no numbers, or some with a decimal comma
            cells = self._separator.join(lines).split(self._separator)
            return [cells[position::width] for position in self._positions]
        table = numbers(cells).reshape(-1, width)
        # Nanoseconds since 1970 are no float64.
        columns: list[Column] = [
            cells[position::width] if index == self._columns.time_index else table[:, position]
            for index, position in enumerate(self._positions)
        ]
        return columns

    def _unfit(self, lines: Pieces) -> Rejected:
        """Why a line is no record."""
        if not self._skip_prefixes and not self._match and self._all_of_width(lines):
            return {}
        separator, separators = self._separator, self._width - 1
        rejected: Rejected = {}
        for index, line in enumerate(lines):
            if line.startswith(self._skip_prefixes) or not self._matches(line.split(separator)):
                rejected[index] = "skipped"
            elif line.count(separator) != separators:
                rejected[index] = "decode_errors"
        return rejected

    def _all_of_width(self, lines: Pieces) -> bool:
        """Whether every line has the right number of cells, found out for all at once; False where that cannot be."""
        separators = self._width - 1
        if len(self._separator) > 1:
            return False
        places = np.flatnonzero(lines.octets == self._separator[0])
        if len(places) != separators * len(lines):
            return False
        each = places.reshape(len(lines), separators)
        inside = (each >= lines.starts[:, np.newaxis]) & (each < lines.ends[:, np.newaxis])
        return bool(inside.all())

    def _matches(self, cells: list[bytes]) -> bool:
        """Whether a line is of the kind that the profile describes; other kinds may have another number of cells."""
        return all(at < len(cells) and cells[at].strip() in wanted for at, wanted in self._match)
