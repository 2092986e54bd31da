"""What becomes of each run of a data set on a model's grid, added to the report on its rows."""

from __future__ import annotations

import msgspec
import numpy as np

from agent.types import Int64Array
from agent.window.contract import Contract
from export.data import Recordings
from export.data_report import DataReport, WindowsReport, count_labels
from export.windows import Windows, cut


def with_windows(recordings: Recordings, contract: Contract) -> DataReport:
    """The report of `recordings` with every run cut by `contract`."""
    runs = [
        msgspec.structs.replace(report, windows=_report(cut(run, contract), contract, recordings.kinds))
        for run, report in zip(recordings.runs, recordings.report.runs, strict=True)
    ]
    return msgspec.structs.replace(recordings.report, runs=runs)


def _report(windows: Windows, contract: Contract, kinds: tuple[str, ...]) -> WindowsReport:
    labels: Int64Array = np.empty(0, np.int64) if windows.labels is None else windows.labels
    return WindowsReport(
        window=contract.window,
        hop=contract.hop,
        known=len(windows),
        unknown=windows.unknown,
        rows_dropped=windows.dropped,
        restarts=windows.restarts,
        labels=count_labels(labels, kinds),
    )
