"""Reads a data set's TOML and finds every problem in it, each with its line and its remedy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from agent.decode import sensor_rules
from agent.errors import ConfigError, Problem
from agent.toml_structs import Found, KeyPath, nearest, parse
from export import units
from export.dataset_schema import Channel, Dataset, DatasetFile, RunFile, Section
from export.sensor_facts import facts

__all__ = ["Channel", "Dataset", "DatasetFile", "RunFile", "Section", "load"]

_LABELS = ("label", "anomaly_from_row", "fault", "class_by_folder", "intervals")
_SENSOR_KEYS = (
    "unit_from", "states", "invalid", "minimum", "maximum", "resolution", "noise", "stuck_after_s", "rest", "rails", "max_step",
)  # fmt: skip


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
    if problems := parsed.placed(_problems(found)):
        raise ConfigError(problems)
    return found


def _problems(found: DatasetFile) -> Iterator[Found]:
    """What the types alone cannot say."""
    dataset = found.dataset
    steady = math.isfinite(dataset.rate_hz) and dataset.rate_hz > 0
    if not steady:
        remedy = "for one row in three minutes write 1/180 = 0.00555..."
        yield ("rate_hz",), "the rate must be above zero", remedy
    if len(dataset.separator) != 1:
        yield ("separator",), "the separator must be one character", ""
    yield from _channels(dataset)
    yield from _twice(dataset)
    yield from _sources(dataset)
    every = range(len(dataset.channel))
    yield from sensor_rules.problems(facts(dataset, every, dataset.rate_hz if steady else 1.0))
    if not any(run.role == "train" for run in dataset.run):
        yield (), "no run has the role 'train'", 'add a [[run]] of normal operation with role = "train"'
    for index, run in enumerate(dataset.run):
        for key, what, remedy in _run(found, run):
            yield ("run", index, *((key,) if key else ())), what, remedy


def _channels(dataset: Dataset) -> Iterator[Found]:
    if not dataset.channel:
        yield (), "there is no channel", "add [[channel]] tables"
    sources = [source.name for source in dataset.source]
    for index, channel in enumerate(dataset.channel):
        here: KeyPath = ("channel", index)
        if channel.name in [other.name for other in dataset.channel[:index]]:
            yield (*here, "name"), f"channel '{channel.name}' is named twice", ""
        if channel.unit_from is not None:
            try:
                units.conversion(channel.unit_from, channel.unit)
            except ValueError as error:
                yield (*here, "unit_from"), str(error), nearest(channel.unit_from, units.alike(channel.unit))
        if sources and channel.source not in sources:
            yield (*here, "source"), "which file is this channel in?", f"set source to one of {', '.join(sources)}"
        if not sources and channel.source is not None:
            yield (*here, "source"), f"there is no source '{channel.source}'", "add a [[source]], or leave it out"
        stated = [key for key in _SENSOR_KEYS if getattr(channel, key) not in (None, [], {})]
        if dataset.device and stated:
            yield (*here, stated[0]), "the device's profile says that", "leave it out here"
        bounds = [bound for bound in (channel.minimum, channel.maximum) if bound is not None]
        if any(math.isnan(bound) for bound in bounds) or bounds != sorted(bounds):
            yield (*here, "minimum"), f"the range {channel.minimum} to {channel.maximum} is empty", "swap the two"


def _twice(dataset: Dataset) -> Iterator[Found]:
    for kind, names in (
        ("source", [each.name for each in dataset.source]),
        ("device", [each.id for each in dataset.device]),
    ):
        for index, name in enumerate(names):
            if name in names[:index]:
                yield (kind, index), f"{kind} '{name}' is named twice", ""


def _sources(dataset: Dataset) -> Iterator[Found]:
    for index, rule in enumerate(dataset.agree):
        if len({channel.source for channel in dataset.channel if channel.name in rule.channels}) > 1:
            yield ("agree", index), "these channels are in different files, whose rows do not meet", "leave it out"
    if dataset.source and dataset.device:
        yield ("source",), "runs are either folders of files or recordings of devices", "keep [[source]] or [[device]]"
    for index, source in enumerate(dataset.source):
        if all(channel.source != source.name for channel in dataset.channel):
            yield ("source", index), f"no channel is in '{source.name}'", "leave it out"
        if source.time is not None and source.start is not None:
            yield ("source", index, "start"), "the times are in a column already", "keep time or start"
        if not math.isfinite(source.rate_hz):
            yield ("source", index, "rate_hz"), "the rate must be a finite number", ""


def _run(found: DatasetFile, run: RunFile) -> Iterator[tuple[str, str, str]]:
    dataset = found.dataset
    if not (places := found.found(run.file)):
        yield "file", f"there is no file {found.path_of_toml.parent / run.file}", "paths are relative to the TOML file"
    for place in places:
        yield from ((("file", what, remedy)) for what, remedy in _place(dataset, place))
    if run.rows is not None and not 0 <= run.rows[0] < run.rows[1]:
        yield "rows", "rows must be [first, behind the last]", "for example [0, 400]"
    yield from _misplaced(dataset, run)
    said = [key for key in _LABELS if getattr(run, key) not in (None, False)]
    if len(said) > 1:
        keys = ", ".join("class" if key == "fault" else key for key in said)
        yield "", f"{keys} say the same thing twice", "keep one"
    if run.fault is not None and dataset.classes and run.fault not in {*dataset.classes, *dataset.classes.values()}:
        yield "class", f"[classes] does not have '{run.fault}'", nearest(run.fault, dataset.classes)
    if run.intervals is not None and not (found.path_of_toml.parent / run.intervals).is_file():
        yield "intervals", f"there is no file {found.path_of_toml.parent / run.intervals}", "see docs/data.md"


def _misplaced(dataset: Dataset, run: RunFile) -> Iterator[tuple[str, str, str]]:
    """Keys that this kind of recording cannot follow."""
    several = "the files of a run have rows of their own"
    archive = run.file.endswith(".npz")
    if (dataset.source or dataset.device) and not archive and run.rows is not None:
        yield "rows", several, "use from and to"
    if (dataset.source or dataset.device) and not archive and run.anomaly_from_row is not None:
        yield "anomaly_from_row", several, "use intervals"
    if dataset.device and run.label is not None:
        yield "label", "a device sends no labels", "use class or intervals"
    if archive:
        for key, value in (("from", run.since), ("to", run.until), ("intervals", run.intervals)):
            if value is not None:
                yield key, "pieces have no time of their own", "use rows, and label or class"
        if run.anomaly_from_row is not None:
            yield "anomaly_from_row", "a piece is wholly normal or not", "use label or class"
    elif run.array != "*":
        yield "array", "only an .npz has arrays", "leave it out"


def _place(dataset: Dataset, place: Path) -> Iterator[tuple[str, str]]:
    if dataset.source:
        if not place.is_dir() and place.suffix != ".npz":
            yield (
                f"{place} is no folder",
                "with [[source]] a run is a folder that holds their files, or an .npz of their arrays",
            )
        for source in dataset.source:
            if place.is_dir() and not (place / source.file).is_file():
                yield f"there is no {source.file} in {place}", "each run needs a file of every [[source]]"
    elif place.is_dir() and not dataset.device:
        yield f"{place} is a folder", "write a pattern such as folder/*.csv, or name the [[device]]s of a recording"
