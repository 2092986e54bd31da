"""CSV lines to numbers: cells are told apart once for all lines of a call, and judged column by column."""

from __future__ import annotations

import msgspec

from agent.decode.envelope import Rejected
from agent.decode.records import Arrivals, Records, TextColumns
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

    def read(self, records: list[bytes], _arrivals: Arrivals, /) -> tuple[Records, Rejected]:
        """A line with too few or too many cells is rejected; a cell that is no number is missing."""
        rejected = self._unfit(records)
        fit = [index for index in range(len(records)) if index not in rejected] if rejected else range(len(records))
        cells = self._cells([records[index] for index in fit]) if fit else []
        columns = [cells[position :: self._width] for position in self._positions]
        table, without_sample = self._columns.read(columns)
        rejected.update({fit[index]: reason for index, reason in without_sample.items()})
        return table, rejected

    def _cells(self, lines: list[bytes]) -> list[bytes] | list[int | float]:
        """The cells of all lines in a row: numbers where every one is a JSON number, which takes a third of the time, else text."""
        try:
            numbers: list[int | float] = _NUMBERS.decode(b"[%b]" % b",".join(lines).replace(self._separator, b","))
        except msgspec.DecodeError:
            return self._separator.join(lines).split(self._separator)
        return numbers

    def _unfit(self, lines: list[bytes]) -> Rejected:
        separator, separators = self._separator, self._width - 1
        counts = [line.count(separator) for line in lines]
        rejected: Rejected = {}
        if counts.count(separators) != len(counts):
            rejected = {index: "decode_errors" for index, count in enumerate(counts) if count != separators}
        if self._skip_prefixes:
            headers = [index for index, line in enumerate(lines) if line.startswith(self._skip_prefixes)]
            rejected.update(dict.fromkeys(headers, "skipped"))
        if self._match:
            others = [index for index, line in enumerate(lines) if not self._matches(line.split(separator))]
            rejected.update(dict.fromkeys(others, "skipped"))
        return rejected

    def _matches(self, cells: list[bytes]) -> bool:
        """Whether a line is of the kind that the profile describes; other kinds may have another number of cells."""
        return all(at < len(cells) and cells[at].strip() in wanted for at, wanted in self._match)
