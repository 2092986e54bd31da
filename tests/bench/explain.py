"""Whether the channel that a model blames is the one that was spoilt: hit rates on synthetic faults with one known channel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from agent.types import NANOSECONDS, Float32Array
from agent.window.contract import Contract, ContractChannel
from export import train
from export.models import FAMILIES, registered
from export.synthetic import KINDS, RELATIONAL, inject
from export.windows import Windows
from tests.bench.figures import Figure, significant

_CHANNELS, _WINDOW, _FACTORS = 8, 64, 3
_TRAINING, _HELD_OUT, _SPOILT = 500, 400, 1_500
_EPOCHS = 30
_SEEN = 0.99  # quantile of held-out normal scores above which a fault counts as seen
_OF_A_CHANNEL = tuple(kind for kind in KINDS if kind not in RELATIONAL)


def measure() -> Iterator[Figure]:
    """Of every registered family, the share of seen faults whose channel ranks first, or among the first three."""
    rng = np.random.default_rng(7)
    mix = rng.normal(size=(_CHANNELS, _FACTORS))
    training, held_out, to_spoil = (plant(rng, mix, n) for n in (_TRAINING, _HELD_OUT, _SPOILT))
    spoilt = inject(to_spoil, 8, _OF_A_CHANNEL)
    alone = (spoilt.labels > 0) & (spoilt.channels.sum(axis=1) == 1)
    windows, guilty = spoilt.windows[alone], spoilt.channels[alone].argmax(axis=1)
    for name in sorted(FAMILIES):
        yield from of_family(name, training, held_out, windows, guilty)


def plant(rng: np.random.Generator, mix: np.ndarray, n: int) -> Float32Array:
    """Normal windows float32 [n, channels, time]: three slow factors that all channels share in `mix`, and noise of their own."""
    cells = np.arange(_WINDOW)
    period = np.array([16.0, 25.0, 41.0])[:, None]
    phase = rng.uniform(0, 2 * np.pi, (n, _FACTORS, 1))
    factors = np.sin(2 * np.pi * cells / period + phase) * rng.uniform(0.7, 1.3, (n, _FACTORS, 1))
    clean = np.einsum("cf,nft->nct", mix, factors)
    scales, levels = np.geomspace(0.1, 100, _CHANNELS)[:, None], np.linspace(-50, 50, _CHANNELS)[:, None]
    return (levels + scales * (clean + 0.2 * rng.normal(size=clean.shape))).astype(np.float32)


def of_family(
    name: str, training: Float32Array, held_out: Float32Array, spoilt: Float32Array, guilty: np.ndarray
) -> Iterator[Figure]:
    """Train on `training`, and try on windows [n, channels, time] that are each spoilt in the channel `guilty` [n]."""
    model = train.fit(_runs(name, training), _contract(), train.Plan(name, 0, _EPOCHS), lambda *_: None).model
    normal_score, normal_channels = train.run_model(model, held_out)
    score, channels = train.run_model(model, spoilt)
    seen = score > np.quantile(normal_score, _SEEN)
    usual = np.maximum(np.median(normal_channels, axis=0), 1e-12)  # as the bundle's `channel_usual`
    ranked = np.argsort(-(channels / usual), axis=1, kind="stable")
    against = f"{int(seen.sum())} of {len(seen)} faults in one of {_CHANNELS} channels are seen, blind guessing"
    for top in (1, 3):
        hits = (ranked[seen, :top] == guilty[seen, None]).any(axis=1)
        share = significant(float(hits.mean())) if len(hits) else 0.0
        yield Figure(f"explain.{name}.top{top}", share, "share", f"{against} {top / _CHANNELS:g}")


def _runs(name: str, training: Float32Array) -> list[Windows]:
    """Normal windows; a supervised family is also given faults, from another draw than those that it is tried on."""
    if not registered(name).supervised:
        return [_as_windows("normal", training, np.zeros(len(training), np.int64))]
    faulty = inject(training, 9, _OF_A_CHANNEL)
    labels = (faulty.labels > 0).astype(np.int64)
    return [
        _as_windows("normal", training, np.zeros(len(training), np.int64)),
        _as_windows("faulty", faulty.windows, labels),
    ]


def _as_windows(run: str, values: Float32Array, labels: np.ndarray) -> Windows:
    ends = (np.arange(len(values)) + 1) * _WINDOW * NANOSECONDS
    return Windows(run, values, ends, labels, 0)


def _contract() -> Contract:
    names = [ContractChannel(name=f"c{index}", unit="1") for index in range(_CHANNELS)]
    return Contract(channels=names, rate_hz=1.0, window=_WINDOW, hop=_WINDOW)
