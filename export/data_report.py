"""What was found in a data set and done to it, run by run and channel by channel, as plain values to print, keep and draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import msgspec
import numpy as np

from agent.types import NANOSECONDS, Int64Array, Quality
from export.cleaning import Stream
from export.dataset_schema import NORMAL, Dataset
from export.moments import spelled

_WORDS = 16
_FLAGS = [flag for flag in Quality if flag not in (Quality.GOOD, Quality.MISSING)]


class ChannelReport(msgspec.Struct, frozen=True, kw_only=True):
    """One channel of one run. Of `samples`, `good` go into windows; `text` has the commonest words and how often each stood in a cell.

    `flagged` counts the values that the watch over the sensors ruled out, by the name of `agent.types.Quality` in small letters; the figures
    are of good values, None where there are none.
    """

    name: str
    unit: str
    samples: int
    good: int
    blank: int
    text: dict[str, int]
    text_cells: int
    non_finite: int
    flagged: dict[str, int]
    minimum: float | None
    mean: float | None
    maximum: float | None
    deviation: float | None

    @property
    def worth_a_word(self) -> bool:
        """Whether anything in it is not good."""
        return self.good < self.samples


class StreamReport(msgspec.Struct, frozen=True, kw_only=True):
    """One file or device of a run. `rows` = `samples` + `empty` (no number in them) + `untimed` + `disbelieved` (a time that leapt alone).

    `duplicates` bear the time of an earlier sample and share its cell; `disordered` lie before an earlier one; a gap is a pause of more than
    one and a half periods; a clock step is one of more than `max_step_s` that the next row confirmed, in either direction.
    """

    rows: int
    samples: int
    empty: int
    untimed: int
    disbelieved: int
    broken_frames: int
    duplicates: int
    disordered: int
    gaps: int
    longest_gap_s: float
    clock_steps: int
    rate_hz: float  # as the data set, or the profile, says
    begin: str | None  # RFC 3339 where the rows bear times
    span_s: float
    channels: list[ChannelReport]


class WindowsReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a run on a model's grid; `labels` counts the known windows by the kind of fault."""

    window: int
    hop: int
    known: int
    unknown: int
    rows_dropped: int  # too late, or too far ahead to be believed
    restarts: int
    labels: dict[str, int]


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """One run: mostly one stream; `labels` counts its rows by the kind of fault, empty where none are given."""

    name: str
    role: str
    streams: list[StreamReport]
    labels: dict[str, int]
    windows: WindowsReport | None = None


class DataReport(msgspec.Struct, frozen=True, kw_only=True):
    """A whole data set. `converted` says which channels were brought into another unit, as {"pressure": "psi to bar"}."""

    name: str
    sha256: str
    rate_hz: float
    converted: dict[str, str]
    runs: list[RunReport]

    @classmethod
    def of(cls, dataset: Dataset, sha256: str, runs: list[RunReport]) -> Self:
        """The report of these runs."""
        pairs = {channel.name: (channel.unit_from, channel.unit) for channel in dataset.channel}
        converted = {name: f"{given} to {unit}" for name, (given, unit) in pairs.items() if given not in (None, unit)}
        return cls(name=dataset.name, sha256=sha256, rate_hz=dataset.rate_hz, converted=converted, runs=runs)

    def remarks(self) -> list[str]:
        """In plain words, what was not as it should be."""
        return [remark for run in self.runs for remark in _remarks(run)]


def describe(name: str, role: str, streams: Sequence[Stream], labels: Int64Array | None, dataset: Dataset) -> RunReport:
    """The report of one run, before it is cut into windows."""
    counted = {} if labels is None else count_labels(labels, dataset.kinds)
    return RunReport(name=name, role=role, streams=[_stream(stream, dataset) for stream in streams], labels=counted)


def count_labels(labels: Int64Array, kinds: Sequence[str]) -> dict[str, int]:
    """How many bear each kind's name."""
    counts = np.bincount(labels, minlength=len(kinds) + 1).tolist()
    return {kind: count for kind, count in zip((NORMAL, *kinds), counts, strict=True) if count}


def _stream(stream: Stream, dataset: Dataset) -> StreamReport:
    steps = np.diff(stream.t_ns)
    ordered = np.diff(np.unique(stream.t_ns))
    gaps = ordered[ordered > round(1.5 * NANOSECONDS / stream.rate_hz)] if stream.stamped else ordered[:0]
    behind = stream.t_ns < np.maximum.accumulate(stream.t_ns) if len(stream) else np.empty(0, np.bool_)
    return StreamReport(
        rows=stream.rows,
        samples=len(stream),
        empty=stream.empty,
        untimed=stream.untimed,
        disbelieved=stream.disbelieved,
        broken_frames=stream.broken_frames,
        duplicates=len(stream) - len(np.unique(stream.t_ns)),
        disordered=int(behind.sum()),
        gaps=len(gaps),
        longest_gap_s=int(gaps.max(initial=0)) / NANOSECONDS,
        clock_steps=int((np.abs(steps) > stream.max_step_ns).sum()),
        rate_hz=stream.rate_hz,
        begin=spelled(int(stream.t_ns.min())) if stream.stamped and len(stream) else None,
        span_s=int(np.ptp(stream.t_ns)) / NANOSECONDS if len(stream) else 0.0,
        channels=[_channel(stream, column, dataset) for column in range(len(stream.channels))],
    )


def _channel(stream: Stream, column: int, dataset: Dataset) -> ChannelReport:
    channel, cells = dataset.channel[stream.channels[column]], stream.cells[column]
    quality = stream.quality[:, column]
    good = stream.values[:, column][quality == 0].astype(np.float64)
    flagged = {flag.name.lower(): int(np.count_nonzero(quality & flag)) for flag in _FLAGS if flag.name}
    return ChannelReport(
        name=channel.name,
        unit=channel.unit,
        samples=len(stream),
        good=len(good),
        blank=cells.blank,
        text=dict(cells.text.most_common(_WORDS)),
        text_cells=cells.text.total(),
        non_finite=cells.non_finite,
        flagged={name: count for name, count in flagged.items() if count},
        minimum=float(good.min()) if len(good) else None,
        mean=float(good.mean()) if len(good) else None,
        maximum=float(good.max()) if len(good) else None,
        deviation=float(good.std()) if len(good) else None,
    )


def _remarks(run: RunReport) -> list[str]:
    found = []
    for stream in run.streams:
        for count, what in (
            (stream.untimed, "rows have no time and were left out"),
            (stream.disbelieved, "rows have a time that leaps away alone and were left out"),
            (stream.clock_steps, "times the clock was set, or paused for longer than max_step_s"),
            (stream.disordered, "rows lie before an earlier one; see max_disorder_s"),
            (stream.duplicates, "rows have the time of another one and share its cell"),
        ):
            if count:
                found.append(f"{run.name}: {count} {what}")
        for channel in stream.channels:
            if channel.text_cells:
                words = ", ".join(f"'{word}'" for word in channel.text)
                found.append(
                    f"{run.name}: {channel.name}: {channel.text_cells} cells hold text ({words}) and count as missing"
                )
            for name, count in channel.flagged.items():
                found.append(f"{run.name}: {channel.name}: {count} values are {name.replace('_', ' ')} and were masked")
    return found
