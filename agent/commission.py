"""Commissioning: what normal operation on the box itself says of one machine, learnt from a recording without training."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from agent.alarm_points import state_of
from agent.assembly import composer_of, pipeline_of
from agent.config.checked import CheckedMachine
from agent.config.partial import Models
from agent.decide import baseline, by_state, peaks
from agent.decide.baseline import Baseline
from agent.decide.commissioning import Commissioning, Correction, affine, corrections
from agent.decide.drift import SHIFTED, stability_index
from agent.decide.support import Support, support
from agent.decide.yardstick import Affine, corrected
from agent.errors import ConfigError, Problem
from agent.pipeline.pipeline import Pipeline
from agent.record.reading import Step
from agent.replay import gathered
from agent.types import Chunk, Float32Array, Window
from agent.upstream.topics import Topics

_MOST_SAMPLED = 4_000  # windows that the baseline is made of
_BATCH = 256
_TENTHS = np.linspace(0.1, 0.9, 9)


@dataclass(frozen=True, slots=True)
class Note:
    """Who commissions, and why; and which part of the recording is normal operation, in event time."""

    by: str
    comment: str
    created: str  # RFC 3339
    from_ns: int | None = None
    to_ns: int | None = None
    keep_levels: bool = False  # no offsets


@dataclass(slots=True)
class _Run:
    """What one session of a recording scored."""

    score: list[float] = field(default_factory=list)
    channel_score: list[Float32Array] = field(default_factory=list)
    end_ns: list[int] = field(default_factory=list)
    state: list[str | None] = field(default_factory=list)

    @property
    def scored(self) -> peaks.ScoredRun:
        """As calibrations are fitted to."""
        return np.array(self.score, np.float32), np.array(self.end_ns, np.int64)


def learn(models: Models, name: str, steps: Callable[[], Iterable[Step]], note: Note) -> Commissioning:
    """Go twice through a recording, which `steps` gives from its beginning; raises ConfigError where it is too little, or not of the
    machine that the model knows.
    """
    machine = machine_named(models, name)
    manifest = machine.bundle.manifest
    site = _baseline(_windows(models, machine, steps(), note), machine)
    offsets = _offsets(site, machine, note)
    runs = _scored(_windows(models, machine, steps(), note), machine, offsets)
    period_ns = manifest.contract.period_ns
    try:
        states = [np.array([*run.state, None], object)[:-1] for run in runs]
        fitted = by_state.fit(
            [run.scored for run in runs],
            states,
            manifest.contract.window * period_ns,
            manifest.contract.hop * period_ns,
        )
    except ValueError as error:
        raise ConfigError([Problem(f"machine {name}", str(error), "record more normal operation")]) from error
    usual = np.median(np.concatenate([np.stack(run.channel_score) for run in runs]), axis=0)
    return Commissioning(
        machine=name,
        bundle=f"{manifest.name} {manifest.version}",
        bundle_sha256=machine.bundle.digest,
        channels=machine.config.channels,
        by=note.by,
        comment=note.comment,
        created=note.created,
        from_ns=min(run.end_ns[0] for run in runs),
        to_ns=max(run.end_ns[-1] for run in runs),
        windows=sum(len(run.score) for run in runs),
        corrections=offsets,
        calibration=fitted.overall,
        calibrations=dict(fitted.calibrations),
        states=list(fitted.seen),
        channel_usual=[float(each) for each in usual],
        baseline=site,
        remarks=[*fitted.remarks, *_unsteady(np.concatenate([run.score for run in runs]))],
    )


def machine_named(models: Models, name: str) -> CheckedMachine:
    """Raises ConfigError where the configuration has no such machine."""
    if name not in models.machines:
        remedy = f"there are {', '.join(models.machines)}"
        raise ConfigError([Problem("MACHINE", f"there is no machine '{name}'", remedy)])
    return models.machines[name]


class Estimate:
    """How sure a calibration on what has come so far would be; offsets, which need all of it, are not in it yet."""

    def __init__(self, models: Models, name: str) -> None:
        self._machine = machine_named(models, name)
        self._pipeline = _pipeline(models, self._machine)
        self._run = _Run()
        self.windows = self.unknown = 0

    def take(self, chunks: Sequence[Chunk]) -> None:
        """Take in what the devices sent."""
        known = [chunk for chunk in chunks if chunk.device in self._pipeline.decoders]
        windows = [window for _, window in self._pipeline.windows(known)]
        good = [window for window in windows if window.unknown is None]
        self.windows += len(windows)
        self.unknown += len(windows) - len(good)
        for start in range(0, len(good), _BATCH):
            _add(self._run, good[start : start + _BATCH], self._machine, None)

    def support(self) -> Support | None:
        """None where there is not even enough for a guess."""
        contract = self._machine.bundle.manifest.contract
        window_ns, hop_ns = contract.window * contract.period_ns, contract.hop * contract.period_ns
        try:
            calibration = peaks.fit([self._run.scored], window_ns, hop_ns)
        except ValueError:
            return None
        return support(calibration, self._machine.false_alarms_per_hour)


def _pipeline(models: Models, machine: CheckedMachine) -> Pipeline:
    profiles = {device: models.profiles[device] for device in machine.feeds}
    machines = {machine.id: machine}
    return pipeline_of(profiles, machines, composer_of(Topics(models.base, models.agent), "commission", machines))


def _windows(
    models: Models, machine: CheckedMachine, steps: Iterable[Step], note: Note
) -> Iterator[tuple[str, list[Window]]]:
    """The session and the windows of each step that can be judged; each session begins with a fresh pipeline."""
    low_ns, high_ns = note.from_ns or 0, note.to_ns or (1 << 63) - 1
    for session, of_session in itertools.groupby(gathered(steps), key=lambda step: step.session):
        pipeline = _pipeline(models, machine)
        for step in of_session:
            cut = pipeline.windows([chunk for chunk in step.chunks if chunk.device in pipeline.decoders])
            known = [window for _, window in cut if window.unknown is None]
            within = [window for window in known if low_ns <= window.start_ns and window.end_ns <= high_ns]
            if within:
                yield session, within


def _baseline(windows: Iterable[tuple[str, list[Window]]], machine: CheckedMachine) -> Baseline:
    """Of windows spread evenly over all that there are."""
    sample: list[Float32Array] = []
    every = 1
    for index, window in enumerate(itertools.chain.from_iterable(each for _, each in windows)):
        if index % every == 0:
            sample.append(window.values)
        if len(sample) > _MOST_SAMPLED:
            sample, every = sample[::2], 2 * every
    if len(sample) < peaks.MIN_WINDOWS:
        what = f"{len(sample)} windows of its channels are too few, {peaks.MIN_WINDOWS} are the least"
        remedy = "record more normal operation, and see with `stethos replay` whether windows are unknown"
        raise ConfigError([Problem(f"machine {machine.id}", what, remedy)])
    return baseline.fit(np.stack(sample), machine.bundle.manifest.contract.rate_hz)


def _offsets(site: Baseline, machine: CheckedMachine, note: Note) -> list[Correction]:
    known = machine.bundle.manifest.baseline
    if known is None or note.keep_levels:
        return [Correction()] * len(machine.channels)
    try:
        return corrections(site, known, machine.config.channels)
    except ValueError as error:
        remedy = "mend the sensor, or train a model of this machine; --keep-levels calibrates it as it is"
        raise ConfigError([Problem(f"machine {machine.id}", str(error), remedy)]) from error


def _scored(
    windows: Iterable[tuple[str, list[Window]]], machine: CheckedMachine, offsets: Sequence[Correction]
) -> list[_Run]:
    """The scores of each session."""
    runs = []
    for _, of_session in itertools.groupby(windows, key=lambda each: each[0]):
        run = _Run()
        for _, cut in of_session:
            for start in range(0, len(cut), _BATCH):
                _add(run, cut[start : start + _BATCH], machine, affine(offsets))
        runs.append(run)
    return [run for run in runs if run.score]


def _add(run: _Run, windows: Sequence[Window], machine: CheckedMachine, offsets: Affine | None) -> None:
    score, channel_score = machine.session.score(np.stack([corrected(window.values, offsets) for window in windows]))
    find = state_of(machine, offsets)
    for window, one, by_channel in zip(windows, score.tolist(), channel_score, strict=True):
        if np.isfinite(one):
            run.score.append(one)
            run.channel_score.append(by_channel)
            run.end_ns.append(window.end_ns)
            run.state.append(None if find is None else find(window.values))


def _unsteady(scores: np.ndarray) -> Iterator[str]:
    """Whether the machine was in one condition all the while."""
    half = len(scores) // 2
    edges = np.quantile(scores[:half], _TENTHS)
    counts = np.bincount(np.searchsorted(edges, scores[half:]), minlength=len(edges) + 1)
    if stability_index(counts, np.full(len(edges) + 1, 0.1)) > SHIFTED:
        yield (
            "the scores of the second half differ from those of the first: was the machine warm, and in order all the while?"
        )
