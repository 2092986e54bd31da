"""SenML (RFC 8428): packs of records in JSON or CBOR, resolved by their base fields, each for one channel and time."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import cbor2
import msgspec

from agent.decode.envelope import Rejected
from agent.decode.records import MAX_NS, Arrivals, Records
from agent.decode.schema import Channel, Profile, SenmlField, SenmlRecord
from agent.decode.senml_units import means
from agent.decode.sparse import SparseRows
from agent.decode.states import Reader, cell_reader
from agent.errors import DecodeError
from agent.metrics import Counters

# Section 4.5.3: a smaller time is relative to now.
_FIRST_ABSOLUTE_S = float(1 << 28)
# Section 4.4: a pack of a later version must not be used.
_VERSION = 10
_MAX_DEPTH = 8
_CACHED_UNITS = 1_024
# Every record of a pack repeats it, so that a long one in a long pack would grow to gigabytes.
_LONGEST_BASE_NAME = 1_024


class _Labels(dict[Any, str]):
    """What labels mean; one that is not known stands for itself."""

    def __missing__(self, label: Any) -> Any:
        _refuse_unknown((label,))
        return label


# Section 6, table 4.
LABELS = _Labels({
    -1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs",
    0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s", 6: "t", 7: "ut", 8: "vd",
})  # fmt: skip


class Entry(msgspec.Struct, gc=False):
    """One record as it stands in its pack; None where a field is absent."""

    bver: int | None = None
    bn: str | None = None
    bt: float | None = None
    bu: str | None = None
    bv: float | None = None
    bs: float | None = None
    n: str = ""
    u: str | None = None
    v: float | None = None
    vs: str | None = None
    vb: bool | None = None
    s: float | None = None
    t: float = 0.0


class Resolved(msgspec.Struct, gc=False):
    """A record by itself (section 4.6), but for its time, which may be relative: seconds before or after now."""

    name: str
    unit: str
    value: float | bool | str | None
    total: float | None  # its Sum
    time_s: float


class SenmlFormat:
    """Reads packs; one may hold any number of records, of any names and times.

    counters: unit_errors (values in another unit than the channel's, left out).
    """

    def __init__(self, profile: Profile, layout: SenmlRecord, counters: Counters) -> None:
        self._counters = counters
        self._entries = _json_entries() if layout.encoding == "json" else cbor_entries
        self._timed = profile.time.kind == "device"
        self._channels = len(profile.channel)
        self._fits: dict[tuple[str, str], list[_Wanted]] = {}  # by name and unit
        self._wanted: defaultdict[str, list[_Wanted]] = defaultdict(list)
        for column, channel in enumerate(profile.channel):
            field = layout.fields[channel.source_field]
            self._wanted[field.name].append(_Wanted(column, channel, field))

    def read(self, records: Sequence[bytes], arrivals: Arrivals, /) -> tuple[Records, Rejected]:
        """A pack that breaks the RFC is rejected as a whole; one that holds nothing wanted is skipped."""
        rows, rejected, by_arrival, fits = SparseRows(self._channels), Rejected(), False, self._fits
        for index, record in enumerate(records):
            try:
                pack = resolve(self._entries(record))
            except DecodeError:
                rejected[index] = "decode_errors"
                continue
            arrived_ns = arrivals.time_ns(index)
            time_s, time_ns = math.nan, 0
            for entry in pack:
                wanted = fits.get((entry.name, entry.unit)) or self._fitting(entry.name, entry.unit)
                if wanted and self._timed and entry.time_s != time_s:
                    time_s, time_ns = entry.time_s, absolute_ns(entry.time_s, arrived_ns)
                for each in wanted:
                    value = each.value(entry)
                    if not math.isnan(value):
                        rows.put(index, time_ns, each.column, value)
                        by_arrival |= entry.time_s < _FIRST_ABSOLUTE_S
            if not rows.holds(index):
                rejected[index] = "skipped"
        return rows.table(timed=self._timed, by_arrival=by_arrival), rejected

    def _fitting(self, name: str, unit: str) -> Sequence[_Wanted]:
        """The channels that a name feeds in this unit; one that is wanted in another unit alone is counted."""
        wanted = self._wanted.get(name)
        if wanted is None:
            return ()
        fitting = [each for each in wanted if each.fits(unit)]
        if not fitting:
            self._counters.add("unit_errors")
        else:
            if len(self._fits) >= _CACHED_UNITS:  # endless units cost time, not memory
                self._fits.clear()
            self._fits[name, unit] = fitting
        return fitting


class _Wanted:
    """One channel and the record that carries it."""

    def __init__(self, column: int, channel: Channel, field: SenmlField) -> None:
        self.column = column
        self._read: Reader = cell_reader(channel)
        self._unit = channel.unit
        self._symbol = field.unit
        self._is_sum = field.part == "sum"

    def fits(self, symbol: str) -> bool:
        """Sections 4.5.2 and 4.2: without a unit the application knows it; a Sum is in the unit times seconds."""
        if not symbol:
            return self._symbol is None
        if self._symbol is not None:
            return symbol == self._symbol
        if self._is_sum:
            return means(symbol, self._unit.removesuffix(".s")) and self._unit.endswith(".s")
        return means(symbol, self._unit)

    def value(self, entry: Resolved) -> float:
        cell = entry.total if self._is_sum else entry.value
        return math.nan if cell is None else self._read(cell)


def resolve(entries: Sequence[Entry]) -> list[Resolved]:
    """Apply the base fields to the records from the one that sets them on; raises DecodeError for a pack of a later version."""
    name, unit, time_s, value, total = "", "", 0.0, 0.0, None
    resolved = []
    for entry in entries:
        if entry.bver is not None and entry.bver > _VERSION:
            raise DecodeError(f"SenML version {entry.bver} is later than {_VERSION}")
        name = name if entry.bn is None else entry.bn
        if len(name) > _LONGEST_BASE_NAME:
            raise DecodeError(f"a base name of {len(name)} characters")
        unit = unit if entry.bu is None else entry.bu
        time_s = time_s if entry.bt is None else entry.bt
        value = value if entry.bv is None else entry.bv
        total = total if entry.bs is None else entry.bs
        at_s = time_s + entry.t
        if not abs(at_s) * 1e9 < MAX_NS:  # NaN is not
            raise DecodeError(f"a time of {at_s} s")
        resolved.append(
            Resolved(
                name=name + entry.n if entry.n else name,
                unit=unit if entry.u is None else entry.u,
                value=_value(entry, value),
                total=None if entry.s is None and total is None else (entry.s or 0.0) + (total or 0.0),
                time_s=at_s,
            )
        )
    return resolved


def _value(entry: Entry, base: float) -> float | bool | str | None:
    if entry.v is not None:
        return base + entry.v
    return entry.vs if entry.vb is None else entry.vb


def absolute_ns(time_s: float, arrived_ns: int) -> int:
    """Nanoseconds since the Unix epoch, to the microsecond that float64 resolves; a time below 2**28 s is relative to the arrival."""
    time_ns = round(time_s * 1e6) * 1_000
    return time_ns if time_s >= _FIRST_ABSOLUTE_S else max(-MAX_NS, arrived_ns + time_ns)


def _json_entries() -> Callable[[bytes], list[Entry]]:
    decode = msgspec.json.Decoder(list[Entry]).decode

    def read(record: bytes) -> list[Entry]:
        try:
            if b'_"' in record:  # perhaps a label that must be understood
                _refuse_unknown(
                    key for entry in msgspec.json.decode(record, type=list[dict[str, Any]]) for key in entry
                )
            return decode(record)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DecodeError(f"no SenML pack: {error}") from error

    return read


def cbor_entries(record: bytes) -> list[Entry]:
    """The records of a pack in CBOR; raises DecodeError."""
    try:
        pack = cbor2.loads(record, max_depth=_MAX_DEPTH, allow_duplicate_keys=False)
        named = [{LABELS[key]: value for key, value in entry.items()} for entry in pack]
        return msgspec.convert(named, list[Entry])  # which takes a decimal fraction (section 6) for a number too
    except (cbor2.CBORError, msgspec.ValidationError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        raise DecodeError(f"no SenML pack: {error}") from error


def _refuse_unknown(keys: Any) -> None:
    """Section 4.4: fields that are not known are ignored, unless their label ends with an underscore."""
    for key in keys:
        if isinstance(key, str) and key.endswith("_"):
            raise DecodeError(f"the field '{key}' must be understood, and is not")
