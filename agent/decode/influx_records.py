"""InfluxDB line protocol: each line is a series (measurement and tags), its fields, and perhaps a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from agent.decode.envelope import Rejected
from agent.decode.records import MAX_NS, UNIT_NS, Arrivals, Records
from agent.decode.schema import InfluxRecord, Profile
from agent.decode.sparse import SparseRows
from agent.decode.states import cell_reader
from agent.metrics import Counters

# https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol: a backslash escapes comma, space and equals sign in
# names, quote and backslash in strings, and stands for itself elsewhere. Quantifiers are possessive: no text costs more than its length.
_NAME = r"(?:[^\\,= \n]|\\[^\n])+"
_VALUE = (
    r'"(?:[^"\\]|\\.)*"'
    r"|[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
    r"|-?[0-9]+i|[0-9]+u"
    r"|[tT]rue|TRUE|[tT]|[fF]alse|FALSE|[fF]"
)
_FIELD = rf"{_NAME}=(?:{_VALUE})(?=[, \r\n]|\Z)"
_LINE = re.compile(
    rf"((?:[^\\, \n]|\\[^\n])+(?:,{_NAME}={_NAME})*)[ ]+({_FIELD}(?:,{_FIELD})*)(?:[ ]+(-?[0-9]{{1,20}}))?[ \r]*(?:\n|\Z)",
    re.DOTALL,
)
_TAG = re.compile(rf",({_NAME})=({_NAME})", re.DOTALL)
_PAIR = re.compile(rf"({_NAME})=({_VALUE})(?=[, \r\n]|\Z),?", re.DOTALL)
_ESCAPED = re.compile(r"\\([,= ])")
_ESCAPED_IN_STRING = re.compile(r'\\(["\\])')

_CACHED_SERIES = 1_024
_TRUE, _FALSE = frozenset(("t", "T", "true", "True", "TRUE")), frozenset(("f", "F", "false", "False", "FALSE"))

_Columns = dict[str, list[int]]  # by field


class InfluxFormat:
    """Reads lines; a message may hold any number of them, of any series.

    counters: row_errors (lines that are none, beside good ones of the same message).
    """

    def __init__(self, profile: Profile, layout: InfluxRecord, counters: Counters) -> None:
        self._counters = counters
        self._readers = [cell_reader(channel) for channel in profile.channel]
        self._wanted = [layout.fields[channel.source_field] for channel in profile.channel]
        self._factor = UNIT_NS[layout.precision]
        self._timed = profile.time.kind == "device"
        self._series: dict[str, _Columns] = {}

    def read(self, records: Sequence[bytes], arrivals: Arrivals, /) -> tuple[Records, Rejected]:
        """A line without a time was taken when it arrived; a message of which no line is wanted is skipped."""
        rows, rejected, by_arrival = SparseRows(len(self._readers)), Rejected(), False
        for index, record in enumerate(records):
            errors, good = 0, 0
            try:
                text = record.decode()
            except UnicodeDecodeError:
                rejected[index] = "decode_errors"
                continue
            for line in _lines(text):
                time_ns = None if line is None else self._time_ns(line[3], arrivals, index)
                if line is None or time_ns is None:
                    errors += 1
                    continue
                good += 1
                if self._take(line, rows, index, time_ns) and line[3] is None:
                    by_arrival = True
            if not rows.holds(index):
                rejected[index] = "decode_errors" if errors and not good else "skipped"
            elif errors:
                self._counters.add("row_errors", errors)
        return rows.table(timed=self._timed, by_arrival=by_arrival), rejected

    def _take(self, line: re.Match[str], rows: SparseRows, record: int, time_ns: int) -> bool:
        """Put what is wanted of a line; False where that is nothing."""
        columns = self._columns(line[1])
        found = False
        for name, cell in _pairs(line[2]) if columns else ():
            for column in columns.get(name, ()):
                value = self._readers[column](_cell(cell))
                if value == value:  # noqa: PLR0124 - not NaN
                    rows.put(record, time_ns, column, value)
                    found = True
        return found

    def _time_ns(self, stamp: str | None, arrivals: Arrivals, record: int) -> int | None:
        if not self._timed:
            return 0
        if stamp is None:
            return arrivals.time_ns(record)
        time_ns = int(stamp) * self._factor
        return time_ns if abs(time_ns) < MAX_NS else None

    def _columns(self, series: str) -> _Columns:
        """The columns that the fields of a series feed, remembered by its text."""
        known = self._series.get(series)
        if known is None:
            known = self._match(series)
            if len(self._series) >= _CACHED_SERIES:  # endless series cost time, not memory
                self._series.clear()
            self._series[series] = known
        return known

    def _match(self, series: str) -> _Columns:
        tags = {unescape(tag[1]): unescape(tag[2]) for tag in _TAG.finditer(series)}
        first = _TAG.search(series)
        measurement = unescape(series[: first.start()] if first else series)
        columns: _Columns = {}
        for column, wanted in enumerate(self._wanted):
            if wanted.measurement == measurement and wanted.tags.items() <= tags.items():
                columns.setdefault(wanted.field, []).append(column)
        return columns


def _lines(text: str) -> list[re.Match[str] | None]:
    """The lines of a message; None for one that is no line. Empty lines and comments are left out."""
    found: list[re.Match[str] | None] = []
    position, end = 0, len(text)
    while position < end:
        if text[position] in "#\r\n ":
            blank = text[position : (text.find("\n", position) + 1) or end]
            if blank.startswith("#") or not blank.strip():
                position += len(blank)
                continue
        line = _LINE.match(text, position)
        found.append(line)
        position = line.end() if line else (text.find("\n", position) + 1) or end
    return found


def _pairs(fields: str) -> Iterable[Sequence[str]]:
    """Names and values; where nothing is quoted or escaped, commas and equals signs tell them apart."""
    if '"' not in fields and "\\" not in fields:
        return [pair.split("=") for pair in fields.split(",")]
    return [(unescape(pair[1]), pair[2]) for pair in _PAIR.finditer(fields)]


def _cell(text: str) -> float | bool | str:
    if text[0] == '"':
        return _ESCAPED_IN_STRING.sub(r"\1", text[1:-1])
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    return float(text[:-1] if text[-1] in "iu" else text)


def unescape(name: str) -> str:
    """A measurement, tag or field name without its backslashes."""
    return _ESCAPED.sub(r"\1", name) if "\\" in name else name


def escape(name: str) -> str:
    """The inverse of `unescape`."""
    return re.sub(r"([,= ])", r"\\\1", name)


def quoted(text: str) -> str:
    """A string as a field value."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
