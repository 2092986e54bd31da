"""A data set as its owner describes it in TOML: which files, which columns, which rows are normal, which are judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from agent.errors import ConfigError, Problem
from agent.toml_structs import Locate, parse
from agent.window.contract import Contract, ContractChannel

Role = Literal["train", "calibrate", "test"]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; a key that is not named here is an error."""


class TimeColumn(Section, frozen=True, kw_only=True):
    """Event time of each row; `text` is RFC 3339 or `YYYY-MM-DD HH:MM:SS`, taken as UTC where it names no zone."""

    column: str
    format: Literal["s", "ms", "us", "ns", "text"] = "text"


class Channel(Section, frozen=True, kw_only=True):
    """One channel of the model and the column that holds it."""

    name: str
    unit: str  # UCUM
    column: str | None = None  # the channel's name where absent


class RunFile(Section, frozen=True, kw_only=True):
    """One recording; `train` and `calibrate` rows must be normal operation.

    `rows` is the first row and the row behind the last, counted from 0 below the header. `label` is a column that is not zero
    where the machine is at fault; `anomaly_from_row` says the same by one row of the file.
    """

    file: str
    role: Role
    rows: tuple[int, int] | None = None
    label: str | None = None
    anomaly_from_row: int | None = None


class Dataset(Section, frozen=True, kw_only=True):
    """The whole file. Without [time] row i is at i / rate_hz seconds. Files are CSV, or Parquet by their suffix."""

    name: str
    rate_hz: float
    channel: list[Channel]
    run: list[RunFile]
    time: TimeColumn | None = None
    separator: str = ","
    hold_cells: int = 0
    aggregate: Literal["mean", "last"] = "mean"

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


@dataclass(frozen=True, slots=True)
class DatasetFile:
    """A data set and where its TOML file is, which the paths in it are relative to."""

    dataset: Dataset
    path_of_toml: Path

    def path(self, run: RunFile) -> Path:
        """Where the file of `run` is."""
        return self.path_of_toml.parent / run.file


def load(path: Path) -> DatasetFile:
    """Read a data set's TOML; raises ConfigError with every problem, missing files among them."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            [Problem(str(path), f"cannot be read: {error}", "give the path of a data set's TOML file")]
        ) from error
    parsed = parse(text, str(path), Dataset)
    found = DatasetFile(parsed.value, path)
    if problems := list(_problems(found, parsed.locate)):
        raise ConfigError(problems)
    return found


def _problems(found: DatasetFile, locate: Locate) -> Iterator[Problem]:
    """What the types alone cannot say."""
    dataset = found.dataset
    if dataset.rate_hz <= 0:
        yield Problem(
            locate(("rate_hz",)), "the rate must be above zero", "for one row in three minutes write 1/180 = 0.00555..."
        )
    if len(dataset.separator) != 1:
        yield Problem(locate(("separator",)), "the separator must be one character")
    names = [channel.name for channel in dataset.channel]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Problem(locate(("channel", index, "name")), f"channel '{name}' is named twice")
    if not names:
        yield Problem(locate(()), "there is no channel", "add [[channel]] tables")
    if not any(run.role == "train" for run in dataset.run):
        yield Problem(
            locate(()), "no run has the role 'train'", 'add a [[run]] of normal operation with role = "train"'
        )
    for index, run in enumerate(dataset.run):
        yield from _run_problems(found, run, index, locate)


def _run_problems(found: DatasetFile, run: RunFile, index: int, locate: Locate) -> Iterator[Problem]:
    if not found.path(run).is_file():
        yield Problem(
            locate(("run", index, "file")), f"there is no file {found.path(run)}", "paths are relative to the TOML file"
        )
    if run.rows is not None and not 0 <= run.rows[0] < run.rows[1]:
        yield Problem(locate(("run", index, "rows")), "rows must be [first, behind the last]", "for example [0, 400]")
    if run.label is not None and run.anomaly_from_row is not None:
        yield Problem(locate(("run", index)), "label and anomaly_from_row say the same thing twice", "keep one")
