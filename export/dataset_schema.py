"""A data set as its owner describes it in TOML: which files, which columns, which rows are normal, which are judged."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from agent.decode.schema import AgreeRule, Positive
from agent.window.contract import Contract, ContractChannel

Role = Literal["train", "calibrate", "test"]
Moment = dt.datetime  # a TOML date and time, or RFC 3339 text
NORMAL = "normal"


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; a key that is not named here is an error."""


class TimeColumn(Section, frozen=True, kw_only=True):
    """Event time of each row; `text` is RFC 3339 or `YYYY-MM-DD HH:MM:SS`, taken as UTC where it names no zone.

    As in a device's profile, a row whose time steps by more than `max_step_s` (an hour, or ten periods where that is longer) is dropped unless
    the next one confirms it, and a row may lie `max_disorder_s` behind a newer one and still be put in place.
    """

    column: str
    format: Literal["s", "ms", "us", "ns", "text"] = "text"
    max_step_s: Positive | None = None
    max_disorder_s: Annotated[float, msgspec.Meta(ge=0, le=3_600)] = 0.0


class Channel(Section, frozen=True, kw_only=True):
    """One channel of the model, the column that holds it, and what is known of its sensor, in the channel's unit.

    The sensor's keys are those of a device's profile (docs/sensor-faults.md): values that they rule out are masked here as on the box.
    """

    name: str
    unit: str  # UCUM
    column: str | None = None  # the channel's name where absent
    unit_from: str | None = None  # the column's unit, where it is another one
    source: str | None = None  # the [[source]] whose file has the column
    states: dict[str, float] = {}  # numbers of words, as in { ON = 1, OFF = 0 }
    invalid: list[float] = []  # numbers in the column that say "no reading"
    minimum: float | None = None
    maximum: float | None = None
    resolution: Positive | None = None
    noise: Annotated[float, msgspec.Meta(ge=0)] | None = None
    stuck_after_s: Positive | None = None
    rest: list[float] = []
    rails: tuple[float, float] | None = None
    max_step: Positive | None = None

    @property
    def source_column(self) -> str:
        """The column that carries this channel."""
        return self.column or self.name


class Source(Section, frozen=True, kw_only=True):
    """One of several files of each run, with a rate of its own; then a run's `file` is the folder that holds them, or an .npz of arrays."""

    name: str
    file: str  # within the run's folder; an array's name within an .npz
    rate_hz: Positive
    time: TimeColumn | None = None
    start: Moment | None = None  # of the first row, where there is no column of times; 1970 where absent


class Device(Section, frozen=True, kw_only=True):
    """A device of a recording that the daemon made: its id there, and its profile's name, or path ending in .toml."""

    id: str
    profile: str


class RunFile(Section, frozen=True, kw_only=True):
    """One recording, or all that a pattern such as "runs/*.csv" matches; `train` and `calibrate` rows must be normal operation.

    `rows` is the first row and the row behind the last, counted from 0 below the header (pieces of an .npz); `from` and `to` do the same by time.
    Labels are at most one of: `label`, a column that is 0 where all is normal; `anomaly_from_row`, from which on it is not; `class` of the whole
    recording; `class_by_folder`; `intervals`, a file of the times at fault.
    """

    file: str
    role: Role
    rows: tuple[int, int] | None = None
    since: Moment | None = msgspec.field(name="from", default=None)
    until: Moment | None = msgspec.field(name="to", default=None)
    array: str = "*"  # of an .npz: the arrays [pieces, time, channels], which may be a pattern
    label: str | None = None
    anomaly_from_row: int | None = None
    fault: str | None = msgspec.field(name="class", default=None)
    class_by_folder: bool = False
    intervals: str | None = None


class Dataset(Section, frozen=True, kw_only=True):
    """The whole file. Without [time] row i is at i / rate_hz seconds. Files are CSV, or Parquet or NumPy arrays by their suffix.

    `classes` maps what stands in a label column, a folder's name, or a `class`, to the name of the kind of fault, or to "normal".
    """

    name: str
    rate_hz: float
    channel: list[Channel]
    run: list[RunFile]
    time: TimeColumn | None = None
    separator: str = ","
    hold_cells: int = 0
    aggregate: Literal["mean", "last"] = "mean"
    silent_after_s: Positive = 60.0  # a source that says nothing for longer is off, and its sensors are not stuck
    classes: dict[str, str] = {}
    agree: list[AgreeRule] = []
    source: list[Source] = []
    device: list[Device] = []

    def contract(self, window: int, hop: int) -> Contract:
        """The grid that a model of this data set is promised."""
        channels = [ContractChannel(name=channel.name, unit=channel.unit) for channel in self.channel]
        return Contract(
            channels=channels,
            rate_hz=self.rate_hz,
            window=window,
            hop=hop,
            hold_cells=self.hold_cells,
            aggregate=self.aggregate,
        )

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the kinds of fault: label k stands for kinds[k - 1]."""
        return tuple(dict.fromkeys(name for name in self.classes.values() if name != NORMAL)) or ("fault",)


@dataclass(frozen=True, slots=True)
class PlacedRun:
    """A run, the file or folder that it is in, and what it is called: its path from the TOML file on."""

    run: RunFile
    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class DatasetFile:
    """A data set and where its TOML file is, which the paths in it are relative to."""

    dataset: Dataset
    path_of_toml: Path

    def found(self, file: str) -> list[Path]:
        """The file or folder that is meant, or all that a pattern matches, in the order of their names."""
        folder = self.path_of_toml.parent
        if any(mark in file for mark in "*?["):
            return sorted(folder.glob(file))
        return [folder / file] if (folder / file).exists() else []

    @property
    def runs(self) -> list[PlacedRun]:
        """Every recording, patterns resolved, in the file's order."""
        folder = self.path_of_toml.parent
        return [
            PlacedRun(run, path, path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name)
            for run in self.dataset.run
            for path in self.found(run.file)
        ]
