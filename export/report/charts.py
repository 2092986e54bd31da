"""What the report draws: training curves, ROC and precision-recall, and the score of a run over time."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from agent.types import NANOSECONDS
from export.judge.alarms import anomalous_stretches
from export.judge.scoring import DecidedRun
from export.report.svg import Axis, Frame, Values, band, bounds, chart, dots, level, line, thinned
from export.rows import BoolArray

_MOST_POINTS = 700
_MOST_MARKS = 400  # of faults and alarms in one chart; closer ones become one
_WIDE, _LOW = 900, 190
_LOG_FROM = 30.0  # a score that spans more than this factor is drawn by decades
_UNITS = (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3))


def training(losses: list[tuple[float, float]], best: int) -> Markup:
    """Training and validation loss by epoch; the kept epoch is marked."""
    table = np.array(losses, np.float64)
    epochs = np.arange(1, len(table) + 1, dtype=np.float64)
    finite = np.where(np.isfinite(table), table, np.nanmax(np.where(np.isfinite(table), table, np.nan), initial=0.0))
    frame = Frame(Axis("epoch", 1, max(len(table), 2)), _by_size("loss", finite))
    layers = [line(frame, *thinned(epochs, finite[:, side], _MOST_POINTS), f"line c{side}") for side in (0, 1)]
    if 1 <= best <= len(table):
        layers.append(dots(frame, [best], [finite[best - 1, 1]], "dot c1"))
    return chart(frame, "training and validation loss by epoch", layers)


def roc(score: Values, anomalous: BoolArray, flagged: BoolArray) -> Markup:
    """Recall against the share of normal windows flagged, for every threshold; the budget's is marked."""
    false, recall, _ = _curves(score, anomalous)
    frame = Frame(Axis("false alarm rate", 0, 1), Axis("recall", 0, 1), height=320)
    here = (float(flagged[~anomalous].mean()), float(flagged[anomalous].mean()))
    layers = [
        line(frame, [0, 1], [0, 1], "chance"),
        line(frame, *_thin(np.insert(false, 0, 0.0), np.insert(recall, 0, 0.0)), "line c0"),
        dots(frame, [here[0]], [here[1]], "dot c1"),
    ]
    return chart(frame, "ROC curve", layers)


def precision_recall(score: Values, anomalous: BoolArray, flagged: BoolArray) -> Markup:
    """Precision against recall for every threshold; the budget's is marked, chance is the share of anomalous windows."""
    _, recall, precision = _curves(score, anomalous)
    frame = Frame(Axis("recall", 0, 1), Axis("precision", 0, 1), height=320)
    layers = [
        level(frame, float(anomalous.mean()), "chance", "chance"),
        line(frame, *_thin(recall, precision), "line c0"),
    ]
    if flagged.any():
        layers.append(dots(frame, [float(flagged[anomalous].mean())], [float(anomalous[flagged].mean())], "dot c1"))
    return chart(frame, "precision-recall curve", layers)


def score_over_time(decided: DecidedRun, threshold: float | None) -> Markup:
    """The score at each window's end; labelled stretches shaded, alarms marked at the top."""
    run, windows = decided.scored.run, decided.scored.windows
    begin = int(windows.end_ns[0])
    unit, scale = time_unit((int(windows.end_ns[-1]) - begin) / NANOSECONDS)
    at = (windows.end_ns - begin) / NANOSECONDS / scale
    score = decided.scored.score.astype(np.float64)
    shown = score if threshold is None else np.append(score, threshold)
    frame = Frame(
        Axis(f"{unit} since {moment(begin)}", 0.0, max(float(at[-1]), 1e-9)), _by_size("score", shown), _WIDE, _LOW
    )
    faults = [] if run.anomalous is None else anomalous_stretches(run.t_ns, run.anomalous)
    spans = [((first - begin) / NANOSECONDS / scale, (last - begin) / NANOSECONDS / scale) for first, last in faults]
    shown_spans = [span for span in _merged(spans, frame.x.high / _MOST_MARKS) if span[1] >= 0]
    layers = [band(frame, first, last, "fault") for first, last in shown_spans]
    layers.append(line(frame, *thinned(at, score, _MOST_POINTS), "line c0"))
    if threshold is not None:
        layers.append(level(frame, threshold, "threshold", "threshold"))
    raised = (np.array(decided.raised_ns, np.float64) - begin) / NANOSECONDS / scale
    raised = np.unique(np.round(raised / frame.x.high * _MOST_MARKS)) * frame.x.high / _MOST_MARKS
    layers.append(dots(frame, raised, np.full(len(raised), frame.y.high), "dot alarm"))
    return chart(frame, f"score of {run.name} over time", layers)


def time_unit(span_s: float) -> tuple[str, float]:
    """The unit in which a span reads best, and its seconds."""
    return next(((name, seconds) for name, seconds in _UNITS if span_s >= 2 * seconds), _UNITS[-1])


def _merged(spans: list[tuple[float, float]], nearest: float) -> list[tuple[float, float]]:
    """Spans in order, with those joined that are closer than a mark is wide."""
    merged: list[tuple[float, float]] = []
    for first, last in spans:
        if merged and first - merged[-1][1] < nearest:
            merged[-1] = (merged[-1][0], last)
        else:
            merged.append((first, last))
    return merged


def _curves(score: Values, anomalous: BoolArray) -> tuple[Values, Values, Values]:
    """False alarm rate, recall and precision at each distinct score, from the highest down."""
    order = np.argsort(-score, kind="stable")
    last_of_ties = np.append(np.diff(score[order]) != 0, True)
    hits = np.cumsum(anomalous[order])[last_of_ties].astype(np.float64)
    false = np.cumsum(~anomalous[order])[last_of_ties].astype(np.float64)
    return false / false[-1], hits / hits[-1], hits / (hits + false)


def _thin(x: Values, y: Values) -> tuple[Values, Values]:
    """Curves of equal steps in both directions need no extremes: every so many points, and the last."""
    chosen = np.unique(np.linspace(0, len(x) - 1, min(len(x), _MOST_POINTS)).astype(int))
    return x[chosen], y[chosen]


def _by_size(label: str, values: Values) -> Axis:
    low, high = bounds(values.ravel())
    log = low > 0 and high / low > _LOG_FROM
    return Axis(label + (", by decades" if log else ""), low, high, log)


def moment(t_ns: int) -> str:
    """An event time to the second, as people read it."""
    return str(np.datetime64(t_ns, "ns").astype("datetime64[s]")).replace("T", " ")
