"""CSV lines to numbers: cells are told apart once for all lines of a call, and judged column by column."""

from __future__ import annotations

from agent.decode.envelope import Rejected
from agent.decode.records import Records, TextColumns
from agent.decode.schema import CsvRecord, Profile


class CsvFormat:
    """Reads lines of separated cells; quoting is not part of what sensors send."""

    def __init__(self, profile: Profile, layout: CsvRecord) -> None:
        self._columns = TextColumns(profile)
        self._positions = [layout.columns.index(field) for field in self._columns.fields]
        self._width = len(layout.columns)
        self._separator = layout.separator.encode()
        self._skip_prefixes = tuple(prefix.encode() for prefix in layout.skip_prefixes)

    def read(self, records: list[bytes]) -> tuple[Records, Rejected]:
        """A line with too few or too many cells is rejected; a cell that is no number is missing."""
        rejected = self._unfit(records)
        fit = [index for index in range(len(records)) if index not in rejected] if rejected else range(len(records))
        cells = self._separator.join([records[index] for index in fit]).split(self._separator) if fit else []
        columns = [cells[position :: self._width] for position in self._positions]
        table, without_sample = self._columns.read(columns)
        rejected.update({fit[index]: reason for index, reason in without_sample.items()})
        return table, rejected

    def _unfit(self, lines: list[bytes]) -> Rejected:
        separator, separators = self._separator, self._width - 1
        rejected: Rejected = {
            index: "decode_errors" for index, line in enumerate(lines) if line.count(separator) != separators
        }
        if self._skip_prefixes:
            headers = [index for index, line in enumerate(lines) if line.startswith(self._skip_prefixes)]
            rejected.update(dict.fromkeys(headers, "skipped"))
        return rejected
