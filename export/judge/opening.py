"""A run folder opened for judging: the model, and the test runs of the data that it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.errors import ConfigError, Problem
from agent.quantities import parse_rate_per_hour
from export import data, dataset, rundir
from export.data import Recordings, Run
from export.rundir import TrainedRun


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A trained run, its folder, all its recordings and those to judge by."""

    folder: Path
    run: TrainedRun
    recordings: Recordings
    tests: list[Run]


def opened(folder: Path) -> Candidate:
    """Read a run and its data; raises ConfigError where the data has changed since, or holds nothing to judge by."""
    run = rundir.load(folder)
    recordings = data.read(dataset.load(Path(run.record.dataset)))
    if recordings.sha256 != run.record.data_sha256:
        what = "the data has changed since this model was trained on it"
        raise ConfigError([Problem(run.record.dataset, what, "train again, or bring the old files back")])
    tests = recordings.of("test")
    if not tests:
        raise ConfigError([Problem(run.record.dataset, "no run has the role 'test'", "add a [[run]] to judge by")])
    return Candidate(folder, run, recordings, tests)


def budget_per_hour(text: str) -> float:
    """`--false-alarms` as a rate; raises ConfigError where it is none."""
    try:
        return parse_rate_per_hour(text)
    except ValueError as error:
        raise ConfigError([Problem("--false-alarms", str(error))]) from error
