"""The family `cycle-neighbours` on a machine that repeats one cycle, warm or cold."""

from __future__ import annotations

import numpy as np
import torch

from export import parity, to_onnx
from export.models.cycle_neighbours import FAMILY, CycleNeighbours
from export.models.family import Shape, Value
from export.train import run_model

CELLS = 120
SWITCHES = 40  # the cell at which the valve opens


def cycles(n: int, *, warm: float = 0.0, late: int = 0, seed: int = 0) -> np.ndarray:
    """[n, 2, CELLS]: a pressure that a valve switches, and a temperature; `warm` moves both."""
    rng = np.random.default_rng(seed)
    open_ = np.arange(CELLS) >= SWITCHES + late
    clean = np.stack([5 * open_ + 2 * warm, np.sin(np.arange(CELLS) / 20) + 3 * warm])
    return (clean + 0.05 * rng.normal(size=(n, 2, CELLS))).astype(np.float32)


def fitted(windows: np.ndarray, **options: Value) -> CycleNeighbours:
    torch.manual_seed(0)
    model = FAMILY.new(Shape(2, CELLS, 10.0), {"bank": 256, **options})
    assert isinstance(model, CycleNeighbours)
    there = torch.from_numpy(windows)
    model.fit_input(there)
    model.fit_score(there, torch.zeros(len(there), dtype=torch.int64))
    return model


COLD_AND_WARM = np.concatenate([cycles(100), cycles(100, warm=1.0, seed=1)])


def usual(model: CycleNeighbours) -> float:
    """The highest score of unseen normal cycles of both kinds."""
    return float(run_model(model, np.concatenate([cycles(40, seed=2), cycles(40, warm=1.0, seed=3)]))[0].max())


def test_a_valve_that_opens_a_cell_late_is_seen_and_named() -> None:
    model = fitted(COLD_AND_WARM)
    scores, channels = run_model(model, cycles(20, late=1, seed=4))
    assert scores.min() > usual(model)
    assert (channels.argmax(1) == 0).all()


def test_a_state_that_was_never_seen_is_strange_though_it_lies_between_two() -> None:
    model = fitted(COLD_AND_WARM)
    assert run_model(model, cycles(20, warm=0.5, seed=5))[0].min() > usual(model)


def test_with_one_interval_a_moment_between_two_states_is_not_told_apart() -> None:
    between = torch.from_numpy(cycles(20, warm=0.5, seed=5))
    moments = [fitted(COLD_AND_WARM, intervals=n)._distances(between)[:, 1, 0].min() for n in (1, 16)]
    assert moments[0] < 1 < moments[1]


def test_fewer_cycles_than_intervals_and_bank_do_no_harm() -> None:
    model = fitted(cycles(10), intervals=64, bank=1024)
    scores, channels = run_model(model, cycles(20, seed=6))
    assert np.isfinite(scores).all()
    assert np.isfinite(channels).all()
    assert run_model(model, cycles(5, late=3, seed=7))[0].min() > scores.max()


def test_its_graph_agrees_where_states_lie_far_apart_and_cycles_scatter_little() -> None:
    there = np.concatenate([cycles(60), cycles(60, warm=20.0, seed=1)])
    model = fitted(there)
    data = to_onnx.convert(model, 2, CELLS).data
    assert parity.check(model, data, np.concatenate([there, cycles(20, late=1, seed=4)])) <= parity.RELATIVE
