"""The model chosen for you: sensible families tried in turn, judged without labels, within what the box can spare."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from agent.errors import ConfigError, Problem
from export import devices, parity, to_onnx, train
from export.data import Recordings
from export.dataset import DatasetFile
from export.label_free import LabelFree, judge
from export.models.family import Value
from export.report.cost import windows_per_s
from export.training_run import Settings, training_windows
from export.windows import Windows, split_tail, stack

# A family for each way of being strange: level and spread, relations, spectrum, shape, and networks for what these miss. Cheap ones first.
CANDIDATES: tuple[tuple[str, Mapping[str, Value]], ...] = (
    ("pca", {}),
    ("mahalanobis", {"features": "all"}),
    ("spectral-bands", {}),
    ("kmeans", {}),
    ("nearest-subsequence", {}),
    ("isolation-forest", {}),
    ("ensemble", {}),
    ("conv-autoencoder", {}),
    ("tcn-forecast", {}),
)
_WINDOWS = (16, 64, 256)  # cells
_HOPS_A_WINDOW = 4
_ENOUGH_WINDOWS = 200  # for training and judging together
_JUDGED_SHARE = 0.25  # of each train run, the latest
# What two values may differ by and still be as good as each other: then the cheaper model wins.
_AS_GOOD = 0.01
_SIZES = {"kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 1024.0, "mib": 1024.0**2}
_TIMES = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
_PART = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-zµ]+)\s*")


@dataclass(frozen=True, slots=True)
class Budget:
    """What a model may cost on this machine: seconds a window on one core, bytes of its graph; None where it does not matter."""

    window_s: float | None = None
    graph_bytes: float | None = None


def parse_budget(text: str) -> Budget:
    """`"1 ms, 5 MB"`, either part alone, or nothing; raises ValueError for anything else."""
    found: dict[str, float] = {}
    for part in filter(str.strip, text.split(",")):
        match = _PART.fullmatch(part)
        unit = match[2].lower() if match else ""
        kind = "window_s" if unit in _TIMES else "graph_bytes" if unit in _SIZES else None
        if match is None or kind is None or kind in found:
            raise ValueError(f"'{text}' is no budget; write time a window and size, as in '1 ms, 5 MB'")
        found[kind] = float(match[1]) * (_TIMES | _SIZES)[unit]
    return Budget(**found)


@dataclass(frozen=True, slots=True)
class Tried:
    """One family on one window: how it did, what it costs, and why it is out where `refused` says so."""

    settings: Settings
    found: LabelFree | None = None
    window_s: float = 0.0
    graph_bytes: int = 0
    spent_s: float = 0.0
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """Everything that was tried, the one chosen, and why in one sentence."""

    tried: Sequence[Tried]
    best: Tried
    why: str
    windows: Sequence[int] = field(default=())


def choose(
    source: DatasetFile,
    recordings: Recordings,
    budget: Budget,
    *,
    windows: Sequence[int] = (),
    seed: int = 0,
    epochs: int = 100,
    compute: devices.Compute = devices.CPU,
    told: Callable[[Tried], None] = lambda _: None,
) -> Choice:
    """Try every candidate on every window; `told` hears of each.

    Each is fitted on the earlier three quarters of normal operation and judged on the rest: by ROC AUC of synthetic anomalies, less its
    spread over time (`export.label_free`). Raises ConfigError where there is too little data for any window, or no candidate keeps
    the budget.
    """
    lengths = tuple(windows) or tuple(_lengths(source, recordings))
    tried = []
    for length in lengths:
        early, late = _parts(source, recordings, length)
        for family, options in CANDIDATES:
            settings = Settings(family, length, _hop(length), seed, epochs, options)
            tried.append(_try(settings, source, (early, late), budget, compute))
            told(tried[-1])
    best = _best(tried)
    return Choice(tried, best, _why(best, tried), lengths)


def _lengths(source: DatasetFile, recordings: Recordings) -> Iterator[int]:
    """The usual windows of which the data gives enough."""
    counts = {}
    for length in _WINDOWS:
        counts[length] = sum(map(len, (part for parts in _parts(source, recordings, length) for part in parts)))
        if counts[length] >= _ENOUGH_WINDOWS:
            yield length
    if max(counts.values()) < _ENOUGH_WINDOWS:
        most = ", ".join(f"{count} of {length} cells" for length, count in counts.items())
        what = f"there are too few known windows to choose by ({most}; {_ENOUGH_WINDOWS} would do)"
        raise ConfigError([Problem(source.dataset.name, what, "record more normal operation, or give --window")])


def _parts(source: DatasetFile, recordings: Recordings, length: int) -> tuple[list[Windows], list[Windows]]:
    contract = source.dataset.contract(length, _hop(length))
    normal, _, _ = training_windows(recordings, contract, CANDIDATES[0][0])
    pairs = [split_tail(part, _JUDGED_SHARE, contract) for part in normal]
    return [early for early, _ in pairs], [late for _, late in pairs]


def _hop(length: int) -> int:
    return max(1, length // _HOPS_A_WINDOW)


def _try(
    settings: Settings,
    source: DatasetFile,
    parts: tuple[list[Windows], list[Windows]],
    budget: Budget,
    compute: devices.Compute,
) -> Tried:
    """Fit, export and time one candidate; one that breaks the budget is not judged."""
    early, late = parts
    started = time.perf_counter()
    contract = source.dataset.contract(settings.window, settings.hop)
    try:
        model = train.fit(early, contract, settings.plan, lambda *_: None, compute=compute).model
        graph = to_onnx.convert(model, len(contract.channels), settings.window).data
        samples = stack(late)[:64]
        parity.check(model, graph, samples)
        window_s = 1 / windows_per_s(graph, samples, 1)
        refused = _over(budget, window_s, len(graph))
        found = None if refused else judge(lambda part: train.run_model(model, part)[0], late, settings.seed)
    except ConfigError as error:
        return Tried(settings, spent_s=time.perf_counter() - started, refused=str(error))
    return Tried(settings, found, window_s, len(graph), time.perf_counter() - started, refused)


def _over(budget: Budget, window_s: float, graph_bytes: int) -> str | None:
    if budget.window_s is not None and window_s > budget.window_s:
        return f"{window_s * 1e3:.2g} ms a window is over the budget of {budget.window_s * 1e3:g} ms"
    if budget.graph_bytes is not None and graph_bytes > budget.graph_bytes:
        return f"{graph_bytes / 1e6:.2g} MB is over the budget of {budget.graph_bytes / 1e6:g} MB"
    return None


def _best(tried: Sequence[Tried]) -> Tried:
    """Of those about as good as the best, the cheapest to run."""
    judged = [each for each in tried if each.found is not None and np.isfinite(each.found.value)]
    if not judged:
        reasons = "; ".join(f"{each.settings.family}: {each.refused}" for each in tried[:4])
        raise ConfigError([Problem("model auto", f"no candidate is left ({reasons})", "allow a larger --budget")])
    top = max(_value(each) for each in judged)
    return min((each for each in judged if _value(each) >= top - _AS_GOOD), key=lambda each: each.window_s)


def _value(tried: Tried) -> float:
    return tried.found.value if tried.found is not None else -np.inf


def _why(best: Tried, tried: Sequence[Tried]) -> str:
    assert best.found is not None
    top = max(tried, key=_value)
    how = f"finds synthetic anomalies with a ROC AUC of {best.found.auc:.3f}, {best.found.spread:.3f} apart over time"
    cost = f"{best.window_s * 1e3:.2g} ms a window and {best.graph_bytes / 1e6:.2g} MB"
    if top is best:
        return (
            f"{best.settings.family} with windows of {best.settings.window} {how}, the best of {len(tried)}, at {cost}"
        )
    rival = f"{top.settings.family} with {top.settings.window} ({_value(top):.3f} against {_value(best):.3f})"
    return f"{best.settings.family} with windows of {best.settings.window} {how}: as good as {rival}, and the cheapest such, at {cost}"
