"""A file is cleaned as the daemon would clean the same rows, and windows are its aligner's, bit for bit."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.assembly import LATENESS_NS
from agent.decode.decoder import Decoder
from agent.errors import ConfigError
from agent.sensors.watch import SensorWatch
from agent.types import Chunk, Window
from agent.window.aligner import Aligner
from agent.window.contract import Contract
from export import cut_at_once, cut_streamed, data, dataset, windows
from export.data import Run
from tests.harness.sensors import profile
from tests.harness.streams import CONTRACTS_OF_THREE, PERIOD_NS, contract

RATE_HZ, PERIOD_MS = 10.0, 100
START_MS = 1_700_000_000_000
# What is stated of the two sensors, in words that a profile and a data set share.
STATED = st.sampled_from(
    [
        ("", ""),
        ("minimum = -5.0\nmaximum = 5.0", "invalid = [7.0]"),
        ("resolution = 0.5\nnoise = 1.0", "rails = [-4.0, 4.0]"),
        ("max_step = 3.0", "stuck_after_s = 0.4"),
        ("rest = [0.0]\nresolution = 0.5\nnoise = 2.0", "states = { ON = 1.0, OFF = 0.0 }"),
    ]
)
GOOD = ["0", "-0.5", "1.0", "2.5e0", " 3 ", "4.0", "-4", "+.5", "5."]
ODD = [
    "7",
    "1e300",
    "inf",
    "-Infinity",
    "",
    "Bad",
    "Inp OutRange",
    "nan",
    "NULL",
    "ON",
    "OFF",
    "1_0",
    "0x1",
    "--1",
    "1e",
]
CELLS = st.sampled_from(GOOD * 6 + ODD)
STEPS = st.sampled_from([PERIOD_MS] * 8 + [0, 1, 30, 2 * PERIOD_MS, 9 * PERIOD_MS, -PERIOD_MS, -3 * PERIOD_MS])
LEAPS = st.sampled_from([-60_000, 40 * PERIOD_MS, 600_000, 7_200_000, -7_200_000])
CONTRACTS = st.builds(
    Contract,
    channels=st.just(contract(2).channels),
    rate_hz=st.just(RATE_HZ),
    window=st.integers(1, 6),
    hop=st.integers(1, 7),
    hold_cells=st.sampled_from([0, 0, 2]),
    aggregate=st.sampled_from(["mean", "last"]),
)


@st.composite
def rows(draw: st.DrawFn) -> list[str]:
    """Lines of time and two cells; the first is whole, so that no column is text throughout."""
    time_ms, lines = START_MS, [f"{START_MS},1.0,1.0"]
    steps = draw(st.sampled_from([st.just(PERIOD_MS), STEPS, STEPS, STEPS | LEAPS]))
    for _ in range(draw(st.integers(1, 40))):
        time_ms += draw(steps)
        stamp = "soon" if draw(st.integers(0, 30)) == 0 else str(time_ms)
        lines.append(f"{stamp},{draw(CELLS)},{draw(CELLS)}")
    return lines


def by_the_daemon(lines: list[str], stated: tuple[str, str], terms: Contract, disorder_ns: int) -> list[Window]:
    """Line by line through decoder, watch and aligner."""
    device = profile(*stated, rate_hz=RATE_HZ)
    decoder, watch = Decoder(device, "d"), SensorWatch(device)
    aligner = Aligner("m", terms, {"d": [(0, 0), (1, 1)]}, max(LATENESS_NS, 2 * terms.period_ns), {"d": disorder_ns})
    found: list[Window] = []
    decoder.feed([Chunk("d", b"\n", 0)])  # what comes before the first end of a line may be half of one
    for line in lines:
        batch = decoder.feed([Chunk("d", line.encode() + b"\n", 0)])
        if batch is not None:
            found += aligner.add(watch.inspect(batch))
    return found


def by_the_file(lines: list[str], stated: tuple[str, str], terms: Contract, disorder_ns: int) -> windows.Windows:
    channels = "".join(f'[[channel]]\nname = "c{i}"\nunit = "1"\n{keys}\n' for i, keys in enumerate(stated))
    toml = (
        f'name = "d"\nrate_hz = {RATE_HZ}\nsilent_after_s = 1.0\n[time]\ncolumn = "t"\nformat = "ms"\n'
        f'max_disorder_s = {disorder_ns / 1e9}\n{channels}[[run]]\nfile = "d.csv"\nrole = "train"\n'
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "d.csv").write_text("t,c0,c1\n" + "\n".join(lines) + "\n")
        Path(folder, "d.toml").write_text(toml)
        try:
            (run,) = data.read(dataset.load(Path(folder, "d.toml"))).runs
        except ConfigError as error:
            assume("holds no number" not in str(error))
            raise
    return windows.cut(run, terms)


@settings(max_examples=200, deadline=None)
@given(rows(), STATED, CONTRACTS, st.sampled_from([0, 0, 150_000_000]))
def test_a_file_becomes_the_windows_that_the_daemon_would_cut(
    lines: list[str], stated: tuple[str, str], terms: Contract, disorder_ns: int
) -> None:
    expected = by_the_daemon(lines, stated, terms, disorder_ns)
    found = by_the_file(lines, stated, terms, disorder_ns)
    known = [window for window in expected if window.unknown is None]
    assert found.end_ns.tolist() == [window.end_ns for window in known]
    assert found.values.tobytes() == b"".join(window.values.tobytes() for window in known)
    assert found.unknown == len(expected) - len(known)


GAPS = st.sampled_from([0, 300_000, *[PERIOD_NS] * 8, 2 * PERIOD_NS, 5 * PERIOD_NS, 60 * PERIOD_NS])
VALUES = st.sampled_from([0.1, 1e7, -3.3, 1 / 3, -0.0, 2.5e-7, np.nan])


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Rows of one device or of two in turns, whose times never go back, and now and then leap."""
    n = draw(st.integers(1, 60))
    t_ns = draw(st.integers(-5, 10**6)) + np.cumsum(np.array(draw(st.lists(GAPS, min_size=n, max_size=n)), np.int64))
    values = np.array(draw(st.lists(VALUES, min_size=3 * n, max_size=3 * n)), np.float32).reshape(n, 3)
    quality = np.isnan(values).astype(np.uint8)
    if draw(st.booleans()):
        quality |= np.array(
            draw(st.lists(st.sampled_from([0, 0, 0, 4, 2]), min_size=3 * n, max_size=3 * n)), np.uint8
        ).reshape(n, 3)
    run = Run("r", "train", t_ns, values, None, quality)
    if draw(st.booleans()):
        device = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)), np.uint8)
        disorder_ns = (0, draw(st.sampled_from([0, 3 * PERIOD_NS])))
        run = dataclasses.replace(run, device=device, feeds=((1,), (0, 2)), disorder_ns=disorder_ns)
        run.values[device == 0, 0] = run.values[device == 0, 2] = run.values[device == 1, 1] = np.nan
        run.flags[np.isnan(run.values)] = 1
    return run


@settings(max_examples=300, deadline=None)
@given(runs(), CONTRACTS_OF_THREE)
def test_windows_cut_at_once_are_those_that_the_aligner_cuts(run: Run, terms: Contract) -> None:
    found, expected = cut_at_once.cut(run, terms), cut_streamed.cut(run, terms)
    assume(found is not None)
    assert found.end_ns.tolist() == expected.end_ns.tolist()
    assert found.values.tobytes() == expected.values.tobytes()
    assert found.values.shape == expected.values.shape
    assert found.last_row.tolist() == expected.last_row.tolist()
    assert (found.unknown, found.dropped, found.restarts) == (expected.unknown, expected.dropped, expected.restarts)
