"""A run whose times only go on, put into the daemon's grid at once and cut from it: what the aligner does, only faster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from agent.types import Float32Array, Int64Array, Quality
from agent.window.contract import Contract
from agent.window.grid import Grid
from export.cutting import Cut, joined, lateness_ns
from export.data import Run

_FLAGGED = np.uint8(0xFF & ~(Quality.MISSING | Quality.STALE))
_NEVER = -(1 << 62)


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """Rows that share one grid: the cell of each int64 [n], never decreasing; the grid's first cell; after which cells windows end, int64 [m],
    and when that is. `dropped` rows stand between these rows and the next stretch.
    """

    rows: slice
    cells: Int64Array
    first: int
    ends: Int64Array
    end_ns: Int64Array
    dropped: int = 0


def cut(run: Run, contract: Contract) -> Cut | None:
    """Every known window, oldest first; None where the times ask for the aligner's judgement."""
    if run.piece_ns is not None:
        return _from_grid(run, contract, _pieces(run, run.piece_ns, contract))
    plans = list(_stretches(run, contract))
    return joined([_from_grid(run, contract, plan) for plan in plans]) if plans else None


def _stretches(run: Run, contract: Contract) -> Iterator[_Plan]:
    """A leap out of reach that the next row confirms begins a new grid there, and costs the row that leapt."""
    cells = run.t_ns // contract.period_ns
    steps = np.diff(cells)
    reach = 2 * contract.window + contract.hop + contract.hold_cells
    leaps = np.flatnonzero(steps > reach) + 1
    alone = leaps + 1 < len(cells)
    if (
        not len(cells)
        or (steps < 0).any()
        or (steps[leaps[alone]] > reach).any()
        or (len(leaps) and run.device is not None)
    ):
        return
    start = 0
    for leap, confirmed in zip(leaps.tolist(), alone.tolist(), strict=True):
        part = slice(start, leap)
        yield _stretch(run, part, cells[part], contract, restarts=confirmed)
        start = leap + 1
    if start < len(cells):
        yield _stretch(run, slice(start, None), cells[start:], contract, restarts=False)


def _stretch(run: Run, rows: slice, cells: Int64Array, contract: Contract, *, restarts: bool) -> _Plan:
    """Windows end at multiples of the hop, as far as the aligner closes its cells: with the last row, or before it begins anew."""
    hop, newest = contract.hop, int(cells[-1])
    closed = -(-(newest + 2 + contract.hold_cells) // hop) * hop if restarts else _closed(run, cells, contract)
    first = -(-(int(cells[0]) + contract.window) // hop) * hop
    ends = np.arange(first, closed + 1, hop, dtype=np.int64)
    dropped = 1 if rows.stop is not None else 0
    return _Plan(rows, cells, int(cells[0]), ends, ends * contract.period_ns, dropped)


def _closed(run: Run, cells: Int64Array, contract: Contract) -> int:
    """The first cell that could still take samples after the last row."""
    newest, period_ns = int(cells[-1]), contract.period_ns
    behind = [-(-disorder_ns // period_ns) for disorder_ns in run.disorder_ns]
    latest = [newest] * len(behind)
    if run.device is not None:
        latest = [int(cells[run.device == index].max(initial=_NEVER)) for index in range(len(behind))]
    sure = min(cell - disorder for cell, disorder in zip(latest, behind, strict=True))
    return max(sure, newest - max(-(-lateness_ns(contract) // period_ns), *behind))


def _pieces(run: Run, piece_ns: int, contract: Contract) -> _Plan:
    """Each piece is cut by itself from its first cell on; on the grid they stand further apart than a cell may hold."""
    period_ns = contract.period_ns
    length = -(-piece_ns // period_ns)
    stride = length + contract.hold_cells + 1
    piece, within_ns = np.divmod(run.t_ns, piece_ns)
    local = np.arange(contract.window, length + 1, contract.hop, dtype=np.int64)
    pieces = np.unique(piece)
    ends = (pieces[:, None] * stride + local).ravel()
    end_ns = (pieces[:, None] * piece_ns + local * period_ns).ravel()
    return _Plan(slice(None), piece * stride + within_ns // period_ns, int(pieces[0]) * stride, ends, end_ns)


def _from_grid(run: Run, contract: Contract, plan: _Plan) -> Cut:
    if not len(plan.ends):
        nothing = np.empty((0, len(contract.channels), contract.window), np.float32)
        return Cut(nothing, plan.ends, plan.ends, 0, plan.dropped, 0)
    final = _fill(run, contract, plan, int(plan.ends[-1]))
    flaws = np.concatenate(([0], np.cumsum(np.isnan(final).any(axis=0))))
    starts = plan.ends - contract.window - plan.first
    known = flaws[starts + contract.window] == flaws[starts]
    windows = sliding_window_view(final, contract.window, axis=1).transpose(1, 0, 2)
    last_row = (plan.rows.start or 0) + np.searchsorted(plan.cells, plan.ends[known], side="left") - 1
    return Cut(
        values=np.ascontiguousarray(windows[starts[known]]),
        end_ns=plan.end_ns[known],
        last_row=last_row,
        unknown=int((~known).sum()),
        dropped=plan.dropped,
        restarts=0,
    )


def _fill(run: Run, contract: Contract, plan: _Plan, behind: int) -> Float32Array:
    """The daemon's grid with the plan's rows in it, closed from its first cell to `behind`: float32 [channels, cells]."""
    grid = Grid(contract, contract.names, 1)
    grid.begin(plan.first)
    fits = int(np.searchsorted(plan.cells, behind, side="left"))
    cells = plan.cells[:fits]
    values, quality = run.values[plan.rows][:fits], run.flags[plan.rows][:fits]
    if not quality.any() and fits == behind - plan.first and (np.diff(cells) == 1).all():
        grid.place_run(0, slice(None), plan.first, values)
    else:
        usable, flagged = (quality == 0) & np.isfinite(values), (quality & _FLAGGED) != 0
        grid.combine(0, np.arange(values.shape[1]), cells, values, usable=usable, flagged=flagged)
    grid.close(behind, clean=False)
    return grid.view(plan.first, behind)
