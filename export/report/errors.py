"""The errors that matter: false alarms with the highest scores, misses with the lowest, each with its window drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from agent.types import NANOSECONDS, Float32Array
from agent.window.contract import Contract
from export.judge.scoring import DecidedRun
from export.report.charts import moment, time_unit
from export.report.svg import Axis, Frame, bounds, chart, line, region

_MOST = 6
_CHANNELS = 4
_MOST_CELLS = 300
_USUAL = (0.01, 0.99)  # quantiles of normal windows, cell by cell over all of them
_ENOUGH = 2_000  # normal windows that tell what is usual


@dataclass(frozen=True, slots=True)
class ErrorWindow:
    """One window judged wrongly: where, its score, and its strangest channels with their drawings."""

    run: str
    ends: str
    score: float
    channels: list[tuple[str, float, Markup]]


@dataclass(frozen=True, slots=True, eq=False)
class Usual:
    """What channels do in normal windows: their usual range, and the channel score that `channel_score` is held against."""

    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    channel_score: npt.NDArray[np.float64]


def usual(decided: Sequence[DecidedRun], channel_usual: Sequence[float]) -> Usual:
    """Ranges [channels] over the normal windows of all runs, or over all windows where none is normal."""
    normal = [np.flatnonzero(~each.scored.anomalous) for each in decided]
    if not any(len(each) for each in normal):
        normal = [np.arange(len(each.flagged)) for each in decided]
    step = max(1, sum(map(len, normal)) // _ENOUGH)
    parts = [each.scored.windows.values[which[::step]] for each, which in zip(decided, normal, strict=True)]
    values = np.concatenate(parts).transpose(1, 0, 2).reshape(len(channel_usual), -1)
    low, high = np.quantile(values.astype(np.float64), _USUAL, axis=1)
    return Usual(low, high, np.maximum(np.array(channel_usual, np.float64), 1e-12))


def false_alarms(decided: Sequence[DecidedRun], contract: Contract, normal: Usual) -> list[ErrorWindow]:
    """Normal windows that were flagged, the strangest first, none of which overlaps another."""
    wrong = [each.flagged & ~each.scored.anomalous for each in decided]
    return _worst(decided, wrong, contract, normal, sign=-1.0)


def misses(decided: Sequence[DecidedRun], contract: Contract, normal: Usual) -> list[ErrorWindow]:
    """Anomalous windows that were not flagged, the most inconspicuous first, none of which overlaps another."""
    wrong = [~each.flagged & each.scored.anomalous for each in decided]
    return _worst(decided, wrong, contract, normal, sign=1.0)


def _worst(
    decided: Sequence[DecidedRun],
    wrong: Sequence[npt.NDArray[np.bool_]],
    contract: Contract,
    normal: Usual,
    sign: float,
) -> list[ErrorWindow]:
    candidates = [
        (sign * float(each.scored.score[index]), which, int(index))
        for which, (each, mask) in enumerate(zip(decided, wrong, strict=True))
        for index in np.flatnonzero(mask)
    ]
    length_ns, chosen, taken = contract.window * contract.period_ns, list[ErrorWindow](), list[tuple[int, int]]()
    for _, which, index in sorted(candidates):
        end_ns = int(decided[which].scored.windows.end_ns[index])
        if any(run == which and abs(end_ns - other) < length_ns for run, other in taken):
            continue
        taken.append((which, end_ns))
        chosen.append(_error(decided[which], index, contract, normal))
        if len(chosen) == _MOST:
            break
    return chosen


def _error(decided: DecidedRun, index: int, contract: Contract, normal: Usual) -> ErrorWindow:
    scored = decided.scored
    times_usual = scored.channel_score[index].astype(np.float64) / normal.channel_score
    strangest = np.argsort(-times_usual, kind="stable")[:_CHANNELS].tolist()
    return ErrorWindow(
        run=scored.run.name,
        ends=moment(int(scored.windows.end_ns[index])),
        score=float(scored.score[index]),
        channels=[
            (
                contract.names[each],
                float(times_usual[each]),
                _draw(scored.windows.values[index, each], each, contract, normal),
            )
            for each in strangest
        ],
    )


def _draw(values: Float32Array, channel: int, contract: Contract, normal: Usual) -> Markup:
    """One channel of one window over the range in which normal windows lie."""
    step = -(-len(values) // _MOST_CELLS)
    shown = values[::step].astype(np.float64)
    unit, scale = time_unit(contract.window * contract.period_ns / NANOSECONDS)
    at = np.arange(len(values))[::step] * contract.period_ns / NANOSECONDS / scale
    low, high = float(normal.low[channel]), float(normal.high[channel])
    name = contract.channels[channel]
    frame = Frame(
        Axis(unit, 0.0, max(float(at[-1]), 1e-9)),
        Axis(name.unit, *bounds([*shown, low, high])),
        300,
        150,
    )
    ends = [0.0, float(at[-1])]
    layers = [region(frame, ends, [low, low], [high, high], "usual"), line(frame, at, shown, "line c0")]
    return chart(frame, f"{name.name} in the window", layers)
