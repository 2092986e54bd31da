"""The report's page: everything gathered from one run folder, and the template filled with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from export.data_report import ChannelReport, DataReport
from export.judge.judgement import Judgement, judge_decided, pool
from export.judge.opening import Candidate
from export.judge.scoring import DecidedRun, decide, score_runs
from export.report import charts, cost, errors
from export.report.cost import Cost
from export.rundir import RunRecord

_MOST_RUNS = 24
_MOST_CHANNELS = 40
_MOST_ROWS = 200
LONGEST_BYTES = 4_000_000  # what the bounds above come to, with room to spare


@dataclass(frozen=True, slots=True)
class ChannelShare:
    """One channel's median score in normal and in anomalous windows, in times its usual one; None without such windows."""

    name: str
    unit: str
    normal: float | None
    anomalous: float | None


@dataclass(frozen=True, slots=True)
class Page:
    """What the template is given."""

    record: RunRecord
    data: DataReport
    flawed: list[tuple[str, ChannelReport]]
    judgement: Judgement
    cost: Cost
    training: Markup | None
    curves: list[tuple[str, Markup]]
    runs: list[tuple[str, Markup]]
    runs_left_out: int
    channels: list[ChannelShare]
    channels_left_out: int
    false_alarms: list[errors.ErrorWindow]
    misses: list[errors.ErrorWindow]


def gather(candidate: Candidate, budget_per_hour: float) -> Page:
    """Judge, time and draw; takes as long as `evaluate` and a trial export."""
    record = candidate.run.record
    contract, calibration = record.contract, record.calibration
    decided = decide(
        score_runs(candidate.run.model, contract, candidate.tests),
        contract,
        calibration,
        budget_per_hour,
        candidate.run.record.states,
    )
    judgement = judge_decided(decided, contract, calibration, budget_per_hour)
    seen = [each for each in decided if len(each.flagged)]
    normal = errors.usual(seen, record.channel_usual) if seen else None
    drawn = sorted(seen, key=_wrong, reverse=True)[:_MOST_RUNS]
    shares = _shares(seen, record)
    return Page(
        record=record,
        data=candidate.recordings.report,
        flawed=_flawed(candidate.recordings.report),
        judgement=judgement,
        cost=cost.measure(candidate.run),
        training=charts.training(record.losses, record.epochs) if record.losses else None,
        curves=_curves(decided, record),
        runs=[(each.scored.run.name, charts.score_over_time(each, judgement.threshold)) for each in drawn],
        runs_left_out=len(decided) - len(drawn),
        channels=shares[:_MOST_CHANNELS],
        channels_left_out=max(0, len(shares) - _MOST_CHANNELS),
        false_alarms=errors.false_alarms(seen, contract, normal) if normal else [],
        misses=errors.misses(seen, contract, normal) if normal else [],
    )


def render(page: Page) -> str:
    """The whole file; every value is escaped, and nothing in it is fetched from elsewhere."""
    environment = Environment(
        loader=PackageLoader("export.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"short": _short, "bytes": _bytes}
    return environment.get_template("page.html.j2").render(page=page, most_rows=_MOST_ROWS, facts=_facts(page.record))


def _facts(record: RunRecord) -> Mapping[str, str]:
    contract = record.contract
    options = record.options | record.training
    return {
        "model": record.family,
        "options": ", ".join(f"{name} {value}" for name, value in options.items()) or "defaults",
        "channels": _listed([f"{each.name} [{each.unit}]" for each in contract.channels]),
        "window": f"{contract.window} cells of {1 / contract.rate_hz:g} s, one every {contract.hop} cells",
        "trained": f"{record.created}, seed {record.seed}, Stethos {record.stethos_version}",
        "data": f"{record.dataset}, SHA-256 {record.data_sha256}",
    }


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_CHANNELS} more" if len(names) > _MOST_CHANNELS else ""
    return ", ".join(names[:_MOST_CHANNELS]) + more


def _flawed(data: DataReport) -> list[tuple[str, ChannelReport]]:
    """Channels of which not every value goes into windows, with the names of their runs."""
    every = [(run.name, channel) for run in data.runs for stream in run.streams for channel in stream.channels]
    return [(run, channel) for run, channel in every if channel.worth_a_word]


def _wrong(decided: DecidedRun) -> int:
    return int((decided.flagged != decided.scored.anomalous).sum())


def _curves(decided: Sequence[DecidedRun], record: RunRecord) -> list[tuple[str, Markup]]:
    """ROC and precision-recall, where there are windows of both kinds."""
    sample = pool(decided, record.contract)
    if not 0 < int(sample.anomalous.sum()) < len(sample.anomalous):
        return []
    given = (sample.score, sample.anomalous, sample.flagged)
    return [
        ("Receiver operating characteristic", charts.roc(*given)),
        ("Precision and recall", charts.precision_recall(*given)),
    ]


def _shares(decided: Sequence[DecidedRun], record: RunRecord) -> list[ChannelShare]:
    """Channels, the one that anomalies raise most first."""
    if not decided:
        return []
    times = np.concatenate([each.scored.channel_score for each in decided]).astype(np.float64)
    times /= np.maximum(np.array(record.channel_usual, np.float64), 1e-12)
    anomalous = np.concatenate([each.scored.anomalous for each in decided])
    normal, strange = _medians(times[~anomalous]), _medians(times[anomalous])
    found = [
        ChannelShare(channel.name, channel.unit, usual, unusual)
        for channel, usual, unusual in zip(record.contract.channels, normal, strange, strict=True)
    ]
    return sorted(found, key=lambda each: -(each.normal or 0.0) if each.anomalous is None else -each.anomalous)


def _medians(times: npt.NDArray[np.float64]) -> list[float | None]:
    """Of each channel [windows, channels]."""
    if len(times) == 0:
        return [None] * times.shape[1]
    medians: list[float | None] = np.median(times, axis=0).tolist()
    return medians


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:,.4g}"


def _bytes(value: int) -> str:
    return f"{value / 1e6:.2f} MB" if value >= 1e6 else f"{value / 1e3:.1f} kB"
