"""Counter time under any arrivals: it increases, stays within its bound ahead of them, and depends on the chunks alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.decode.timebase_counter import CounterTime
from agent.types import Int64Array

MS = 1_000_000
T0 = 1_700_000_000_000 * MS
MAX_DEPARTURE_NS = 250 * MS

# Mostly a sample every 10 ms; gaps, losses, bursts and long silences between.
STEPS = st.sampled_from([1, 1, 1, 1, 1, 1, 2, 50, 30_000, 1 << 31])
WAITS_NS = st.sampled_from([1, 1_000, 3 * MS, 10 * MS, 10 * MS, 10 * MS, 35 * MS, 700 * MS, 90_000 * MS])
CHUNKS = st.lists(
    st.tuples(st.integers(1, 4), STEPS, WAITS_NS, st.sampled_from([False] * 19 + [True])), min_size=1, max_size=120
)


def arrays(chunks: list[tuple[int, int, int, bool]]) -> list[tuple[Int64Array, Int64Array, np.ndarray]]:
    """Positions, arrivals and restarts of each chunk."""
    made, position, arrived_ns = [], -1, T0
    for count, step, wait_ns, anew in chunks:
        positions = position + step + np.arange(count)
        position, arrived_ns = int(positions[-1]), arrived_ns + wait_ns
        restarts = np.zeros(count, dtype=bool)
        restarts[0] = anew
        made.append((positions, np.full(count, arrived_ns), restarts))
    return made


@settings(max_examples=200, deadline=None)
@given(CHUNKS, st.sampled_from([0.005, 1.0, 100.0, 25_600.0]))
def test_times_increase_and_are_never_far_ahead_of_their_arrival(
    chunks: list[tuple[int, int, int, bool]], rate_hz: float
) -> None:
    clock, made = CounterTime(rate_hz, MAX_DEPARTURE_NS), arrays(chunks)
    t_ns = np.concatenate([clock.stamp(*chunk) for chunk in made])
    arrived_ns = np.concatenate([arrived for _, arrived, _ in made])
    assert (np.diff(t_ns) > 0).all()
    assert (t_ns - arrived_ns).max() <= MAX_DEPARTURE_NS + len(t_ns)


@settings(max_examples=100, deadline=None)
@given(CHUNKS, st.sampled_from([0.005, 100.0]), st.lists(st.integers(0, 120), max_size=5))
def test_times_do_not_depend_on_how_chunks_were_grouped_into_calls(
    chunks: list[tuple[int, int, int, bool]], rate_hz: float, cuts: list[int]
) -> None:
    made = arrays(chunks)
    single, grouped = CounterTime(rate_hz, MAX_DEPARTURE_NS), CounterTime(rate_hz, MAX_DEPARTURE_NS)
    expected = np.concatenate([single.stamp(*chunk) for chunk in made])
    edges = sorted({0, len(made), *(cut for cut in cuts if cut < len(made))})
    parts = [made[start:end] for start, end in pairwise(edges)]
    found = [grouped.stamp(*(np.concatenate(column) for column in zip(*part, strict=True))) for part in parts]
    assert np.concatenate(found).tolist() == expected.tolist()
    assert single.reanchored == grouped.reanchored
