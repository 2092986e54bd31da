"""The host's clock is set while devices stream: no window is torn, their times are UTC from then on, and a replay says the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from agent.clock import FakeClock
from agent.decode.encode import Encoder
from agent.decode.profile import Profile
from agent.pipeline.pipeline import Pipeline
from agent.types import Chunk, TimeQuality
from agent.window.aligner import Aligner
from tests.harness.pipelines import COUNTER, HOP, HOP_NS, RATE_HZ, SECOND, Listening, pipeline
from tests.harness.profiles import STAMPED_JSON, make

STAMPED = make(STAMPED_JSON, transport="mqtt", rate_hz=RATE_HZ)


def chunks(profiles: dict[str, Profile], step_s: float, seconds: int = 40, true_lead_s: float = 0.0) -> list[Chunk]:
    """Every device sends `seconds` of samples through 5 ms of jitter; half way the host's clock steps; stamps are UTC."""
    clock, rng = FakeClock(), np.random.default_rng(1)
    encoders = {device: Encoder(profile) for device, profile in profiles.items()}
    true_ns = clock.now_ns() + round(true_lead_s * SECOND)
    sent = []
    for index in range(round(seconds * RATE_HZ)):
        if index == round(seconds * RATE_HZ) // 2:
            clock.step(round(step_s * SECOND))
        clock.advance(round(SECOND / RATE_HZ))
        true_ns += round(SECOND / RATE_HZ)
        for device, encoder in encoders.items():
            delay_ns = int(rng.integers(0, 5_000_000))
            frame = encoder.frame([np.sin(index), index % 7], true_ns)
            arrived_ns, monotonic_ns = clock.now_ns() + delay_ns, clock.monotonic_ns() + delay_ns
            sent.append(Chunk(device, frame, arrived_ns, monotonic_ns=monotonic_ns))
    return sent


def run(profiles: dict[str, Profile], sent: Sequence[Chunk], calls: int) -> tuple[Pipeline, Listening, Aligner]:
    piped, listening, aligner = pipeline(profiles)
    for start in range(0, len(sent), len(sent) // calls):
        piped.step(sent[start : start + len(sent) // calls])
    return piped, listening, aligner


@pytest.mark.parametrize("step_s", [3 * 3_600, -3 * 3_600, 0.75])
def test_a_step_tears_no_window_of_a_counter_device_and_shifts_their_times_once(step_s):
    profiles = {"counter": COUNTER}
    piped, listening, aligner = run(profiles, chunks(profiles, step_s), 100)
    spacing = np.diff([end for _, end, _ in listening.windows])
    assert [unknown for _, _, unknown in listening.windows if unknown] == []
    assert sorted(set(spacing.tolist())) == sorted({HOP_NS, HOP_NS + round(step_s * SECOND)})
    assert np.count_nonzero(spacing != HOP_NS) == 1
    assert len(listening.windows) >= 40 * RATE_HZ // HOP - 4
    assert aligner.counters["restarts"] == aligner.counters["samples_late"] == 0
    assert piped.counters["clock_steps"] == 1
    assert piped.report().device_counters["counter"]["reanchored"] == 0


def test_windows_after_the_step_have_the_new_clocks_times():
    profiles = {"counter": COUNTER}
    sent = chunks(profiles, 3_600)
    _, listening, _ = run(profiles, sent, 100)
    assert abs(listening.windows[-1][1] - sent[-1].arrived_ns) < SECOND
    assert abs(listening.windows[0][0] - sent[0].arrived_ns) < SECOND


def test_the_same_chunks_in_other_portions_give_the_same_windows():
    profiles = {"counter": COUNTER}
    sent = chunks(profiles, -7_200)
    found = [run(profiles, sent, calls)[1].windows for calls in (1, 13, 1_000)]
    assert found[0] == found[1] == found[2]


def test_a_device_with_a_utc_clock_does_not_feel_the_hosts_step():
    profiles = {"stamped": STAMPED}
    _, stepped, aligner = run(profiles, chunks(profiles, 3_600), 100)
    _, still, _ = run(profiles, chunks(profiles, 0.0), 100)
    assert stepped.windows == still.windows
    assert aligner.counters["restarts"] == 0


def test_devices_with_and_without_a_utc_clock_meet_once_the_host_knows_the_time():
    """A box without a clock chip boots an hour late; NTP mends it."""
    profiles = {"counter": COUNTER, "stamped": STAMPED}
    _, listening, aligner = run(profiles, chunks(profiles, 3_600, true_lead_s=3_600), 200)
    last = [unknown for _, _, unknown in listening.windows[-50:]]
    assert last == [None] * 50
    assert listening.time_quality is TimeQuality.COUNTER
    assert aligner.balance().missing == 0
