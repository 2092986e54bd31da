"""The watch over one device's channels: every value that cannot be believed is flagged, and every lasting fault becomes a state."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np

from agent.decode.schema import Profile
from agent.sensors.agreement import Agreement
from agent.sensors.faults import MEANING, Fault, State, worst
from agent.sensors.jumps import Jumps
from agent.sensors.limits import limits
from agent.sensors.line import LineWatch
from agent.sensors.persistence import Persistence
from agent.sensors.rails import Rails
from agent.sensors.repeats import Repeats
from agent.sensors.rows import BoolArray, Columns, Finding, Float64Array, Rows
from agent.sensors.talk import TalkClock
from agent.sensors.texture import Texture
from agent.types import NANOSECONDS, Batch, Int64Array, Quality, QualityArray

_ABSENT = np.uint8(Quality.MISSING | Quality.STALE)
_OUTSIDE = np.uint8(Quality.OUT_OF_RANGE)
# Values that are judged together for noise, resolution and agreement: a second of them, within these bounds.
_FEWEST, _MOST = 64, 1_024


class Rule(Protocol):
    """Finds one kind of fault, or two."""

    def judge(self, rows: Rows) -> list[Finding]:
        """What is wrong in these rows, which follow the last ones."""
        ...


class ChannelState(NamedTuple):
    """One channel's NE 107 state, check function before its first value; `faults` that stand; `changes` of any of them so far."""

    state: State
    faults: tuple[Fault, ...]
    changes: int


class Sensors(NamedTuple):
    """A device's channels in the order of its profile, the faults of its line and clock that stand, and how often these came or went."""

    channels: list[ChannelState]
    faults: tuple[Fault, ...]
    changes: int


class SensorWatch:
    """Judges one device's batches, in order. What it finds depends on the samples alone, not on how they were split into batches.

    A value is flagged as soon as it cannot be believed. A state is set once the fault is certain, and cleared after sound values only
    for a while (see `persistence`).
    """

    def __init__(self, profile: Profile) -> None:
        self.line = LineWatch(profile.time.max_drift_ppm)
        self._rules = _rules(profile)
        self._clock = TalkClock(profile.silent_after_s, profile.rate_hz)
        silent_s = [channel.silent_after_s or profile.silent_after_s for channel in profile.channel]
        self._silent_ns = np.array([seconds * NANOSECONDS for seconds in silent_s])
        self._rest = [
            (column, np.array(channel.rest, np.float32), (limits(profile, channel).step or 0.0) / 2)
            for column, channel in enumerate(profile.channel)
            if channel.rest
        ]
        self._every: Columns = np.arange(len(silent_s))
        self._places: Int64Array = np.zeros(len(silent_s), np.int64)  # values of each channel so far
        self._heard_ns: Int64Array = np.zeros(len(silent_s), np.int64)  # talk time of the latest
        self._standing: list[dict[Fault, Persistence]] = [{} for _ in silent_s]

    def inspect(self, batch: Batch) -> Batch:
        """The batch with a flag on every value that cannot be believed; the values themselves stay."""
        if not len(batch):
            return batch
        talk_ns = self._clock.advance(batch.t_ns)
        there = ((batch.quality & _ABSENT) == 0) & np.isfinite(batch.values)
        findings = self._told(batch.quality, talk_ns, there)
        quality = batch.quality
        if self._rules:
            values, usable = batch.values.astype(np.float64), there & (quality == 0)
            resting = self._resting(values)
            for rule in self._rules:
                for finding in rule.judge(Rows(talk_ns, values, None if usable.all() else usable, resting)):
                    findings.append(finding)
                    if quality is batch.quality:
                        quality = quality.copy()
                    quality[:, finding.columns] |= finding.masked * np.uint8(MEANING[finding.fault].flag)
                    usable[:, finding.columns] &= ~finding.masked
        self._settle(findings, talk_ns, there)
        return batch if quality is batch.quality else replace(batch, quality=quality)

    def report(self) -> Sensors:
        """The device as it stands."""
        values = zip(self._standing, self._places.tolist(), strict=True)
        channels = [_state(standing, heard=places > 0) for standing, places in values]
        return Sensors(channels, self.line.faults(), self.line.changes)

    def _told(self, quality: QualityArray, talk_ns: Int64Array, there: BoolArray) -> list[Finding]:
        """The faults that need no rule: what the decoder flagged, and channels that are silent for longer than they may."""
        findings = []
        outside = (quality & _OUTSIDE) != 0
        if outside.any():
            findings.append(Finding(Fault.OUT_OF_RANGE, self._every, outside, outside))
        if not there.all():
            silent = ~there & (talk_ns[:, None] - self._heard(talk_ns, there) > self._silent_ns)
            if silent.any():
                findings.append(Finding(Fault.DROPPED_OUT, self._every, silent, silent))
        return findings

    def _resting(self, values: Float64Array) -> BoolArray | None:
        if not self._rest:
            return None
        resting = np.zeros(values.shape, np.bool_)
        for column, levels, tolerance in self._rest:
            resting[:, column] = (np.abs(values[:, column, None] - levels) <= tolerance).any(axis=1)
        return resting

    def _heard(self, talk_ns: Int64Array, there: BoolArray) -> Int64Array:
        """Talk time of each channel's latest value at each row, int64 [n, channels]."""
        heard_ns = np.maximum.accumulate(np.where(there, talk_ns[:, None], -1), axis=0)
        return np.asarray(np.maximum(heard_ns, self._heard_ns))

    def _settle(self, findings: list[Finding], talk_ns: Int64Array, there: BoolArray) -> None:
        """Tell each fault that may stand of its evidence, then of the values that came since."""
        if findings:
            places = self._places + np.cumsum(there, axis=0)
            heard_ns = self._heard(talk_ns, there)
            for (column, fault), evident in _evidence(findings).items():
                values = _Values(
                    int(self._places[column]), int(self._heard_ns[column]), places[:, column], heard_ns[:, column]
                )
                persistence = self._standing[column].setdefault(fault, Persistence(MEANING[fault]))
                _testify(persistence, np.flatnonzero(evident), talk_ns, values)
        whole = there.all()
        self._places = self._places + (len(there) if whole else there.sum(axis=0))
        self._heard_ns = np.full_like(self._heard_ns, talk_ns[-1]) if whole else self._heard(talk_ns, there)[-1]
        for column, standing in enumerate(self._standing):
            for persistence in standing.values():
                persistence.heard(int(self._places[column]), int(self._heard_ns[column]))


def _evidence(findings: list[Finding]) -> dict[tuple[int, Fault], BoolArray]:
    """The rows at which a column shows a fault; two rules may find the same one."""
    evidence: dict[tuple[int, Fault], BoolArray] = {}
    for finding in findings:
        for index in np.flatnonzero(finding.evident.any(axis=0)):
            key = int(finding.columns[index]), finding.fault
            found = finding.evident[:, index]
            evidence[key] = found | evidence[key] if key in evidence else found
    return evidence


class _Values(NamedTuple):
    """One channel: how many values it had, and when the latest came; before the batch, and up to each of its rows."""

    places_before: int
    heard_before_ns: int
    places: Int64Array
    heard_ns: Int64Array


def _testify(persistence: Persistence, rows: Columns, talk_ns: Int64Array, values: _Values) -> None:
    """There is evidence at `rows`; before each, the fault hears of the value that preceded it."""
    if persistence.goes_on(values.places[rows].tolist(), int(talk_ns[rows[-1]])):
        return
    for row in rows.tolist():
        if row:
            persistence.heard(int(values.places[row - 1]), int(values.heard_ns[row - 1]))
        else:
            persistence.heard(values.places_before, values.heard_before_ns)
        persistence.bad(int(values.places[row]), int(talk_ns[row]))


def _state(standing: dict[Fault, Persistence], *, heard: bool) -> ChannelState:
    faults = tuple(fault for fault in Fault if fault in standing and standing[fault].is_on)
    state = worst(MEANING[fault].state for fault in faults) if faults or heard else State.CHECK_FUNCTION
    return ChannelState(state, faults, sum(persistence.changes for persistence in standing.values()))


def _rules(profile: Profile) -> list[Rule]:
    """Only what the profile states can be broken. A value that one rule masks is no evidence for the next."""
    every, bounds = profile.channel, [limits(profile, channel) for channel in profile.channel]
    block = min(max(round(profile.rate_hz), _FEWEST), _MOST)
    rules: list[Rule] = []
    railed = [index for index, channel in enumerate(every) if channel.rails is not None]
    if railed:
        rails = [channel.rails for channel in every if channel.rails is not None]
        rules.append(Rails(np.array(railed), rails, [bounds[index].step for index in railed]))
    repeating = [
        index
        for index, channel in enumerate(every)
        if bounds[index].doubtful_repeats is not None or channel.stuck_after_s is not None
    ]
    if repeating:
        chosen = [every[index] for index in repeating]
        rules.append(Repeats(np.array(repeating), chosen, [bounds[index] for index in repeating]))
    stepped = [(index, channel.max_step) for index, channel in enumerate(every) if channel.max_step is not None]
    if stepped:
        columns, max_steps = zip(*stepped, strict=True)
        rules.append(Jumps(np.array(columns), max_steps, profile.rate_hz))
    dithered = [index for index, bound in enumerate(bounds) if bound.is_dithered]
    if dithered:
        rules.append(Texture(np.array(dithered), [bounds[index] for index in dithered], block))
    names = profile.channel_names
    return rules + [
        Agreement(np.array([names.index(name) for name in rule.channels]), rule, block) for rule in profile.agree
    ]
