"""A clock that counts from boot: unwrapped, rebooted, garbled, and tied to the host's clock by the decoder."""

import numpy as np
import pytest

from agent.decode.decoder import Decoder
from agent.decode.timebase_boot import BootClock
from agent.decode.timebase_watch import ClockWatch
from agent.errors import ConfigError
from agent.types import Chunk, TimeQuality
from tests.harness.profiles import COUNTED, STAMPED_JSON, make

MS = 1_000_000
SECOND = 1_000 * MS
T0 = 1_700_000_000_000 * MS
WRAP_MS = 1 << 32

UPTIME = STAMPED_JSON.replace('unit = "s"', 'unit = "ms", epoch = "boot", bits = 32')


def ints(values):
    return np.array(values, dtype=np.int64)


def read(clock_ms, calls=1, wrap_ms=WRAP_MS):
    clock = BootClock(wrap_ms * MS, 3_600 * SECOND, 0)
    parts = [clock.read(part * MS) for part in np.array_split(ints(clock_ms), calls)]
    return [np.concatenate(column).tolist() for column in zip(*parts, strict=True)]


@pytest.mark.parametrize("calls", [1, 2, 5])
class TestBootClock:
    def test_a_wrap_is_no_step(self, calls):
        position, plausible, anew = read([WRAP_MS - 200, WRAP_MS - 100, 0, 100, 200], calls)
        assert np.diff(position).tolist() == [100 * MS] * 4
        assert all(plausible)
        assert not any(anew)

    def test_a_reboot_is_told_from_disorder(self, calls):
        _, plausible, anew = read([900_000, 900_100, 900_050, 900_200, 40, 140], calls)
        assert all(plausible)
        assert anew == [False, False, False, False, True, False]

    def test_a_reboot_after_weeks_is_believed_at_the_second_sample(self, calls):
        weeks = 30 * 86_400_000
        _, plausible, anew = read([weeks, weeks + 100, 40, 140, 240], calls)
        assert plausible == [True, True, False, True, True]
        assert anew == [False, False, False, True, False]

    def test_one_garbled_stamp_is_dropped(self, calls):
        _, plausible, anew = read([1_000, 1_100, 3_000_000_000, 1_300, 1_400], calls)
        assert plausible == [True, True, False, True, True]
        assert not any(anew)


def messages(samples, delay_ms=lambda index: 0):
    """Chunks of (uptime in ms, true time in ns)."""
    return [
        Chunk("d", f'{{"t":{uptime},"b":{index},"deep":[0,{{"a":1}}]}}'.encode(), true_ns + delay_ms(index) * MS)
        for index, (uptime, true_ns) in enumerate(samples)
    ]


def test_uptime_becomes_utc_through_jitter_and_a_wrap():
    rng = np.random.default_rng(1)
    samples = [((WRAP_MS - 60_000 + i * 100) % WRAP_MS, T0 + i * 100 * MS) for i in range(1_200)]
    decoder = Decoder(make(UPTIME, transport="mqtt"), "d")
    batches = [decoder.feed([chunk]) for chunk in messages(samples, lambda _: rng.uniform(0, 20))]
    error_ns = np.array([int(batch.t_ns[0]) - true for batch, (_, true) in zip(batches, samples, strict=True)])
    assert np.abs(error_ns)[600:].max() < MS
    assert batches[0].time_quality is TimeQuality.COUNTER
    assert decoder.counters["time_errors"] == decoder.counters["resets"] == decoder.counters["reanchored"] == 0
    assert decoder.drift_ppm == pytest.approx(0, abs=20)
    assert decoder.gauges()["time_uncertainty_ms"] == pytest.approx(10, rel=0.2)


def test_after_a_reboot_times_go_on_from_the_arrival():
    before = [(500_000 + i * 100, T0 + i * 100 * MS) for i in range(50)]
    after = [(3_000 + i * 100, T0 + 60 * SECOND + i * 100 * MS) for i in range(50)]
    decoder = Decoder(make(UPTIME, transport="mqtt"), "d")
    batch = decoder.feed(messages(before + after))
    assert batch.t_ns.tolist() == [true for _, true in before + after]
    assert decoder.counters["resets"] == 1


def test_a_message_that_was_overtaken_gets_its_own_time():
    samples = [(1_000 + i * 100, T0 + i * 100 * MS) for i in (0, 1, 3, 2, 4)]
    arrivals = [Chunk("d", chunk.data, T0 + i * 100 * MS + MS) for i, chunk in enumerate(messages(samples))]
    decoder = Decoder(make(UPTIME, transport="mqtt"), "d")
    t_ns = np.concatenate([decoder.feed([chunk]).t_ns for chunk in arrivals])
    assert np.abs(np.sort(t_ns) - (T0 + MS + np.arange(5) * 100 * MS)).max() < 60 * MS
    assert t_ns[2] > t_ns[3] > t_ns[1]


def test_disorder_beyond_a_quarter_of_the_counter_cannot_be_told_from_a_restart():
    with pytest.raises(ConfigError, match="cannot be told from a restart"):
        make(
            COUNTED.replace('kind = "counter"', 'kind = "counter", max_disorder_s = 2.0').replace('"u16"', '"u8"'),
            rate_hz=100.0,
        )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ('unit = "ms", bits = 32', "does not wrap"),
        ('unit = "rfc3339", epoch = "boot"', "count from boot"),
    ],
)
def test_a_boot_clock_is_a_number_and_only_it_wraps(change, why):
    with pytest.raises(ConfigError, match=why):
        make(STAMPED_JSON.replace('unit = "s"', change), transport="mqtt")


def test_a_clock_that_is_off_and_drifts_is_seen_as_such():
    watch, rng = ClockWatch(10.0, 3_600 * SECOND), np.random.default_rng(2)
    for i in range(3_000):
        true_ns = T0 + i * 100 * MS
        watch.see(round(true_ns + 7_200 * SECOND + i * 100 * MS * 30e-6), true_ns + round(rng.uniform(0, 20) * MS))
    assert watch.line.drift_ppm == pytest.approx(30, abs=1)
    assert watch.offset_ns == pytest.approx(7_200 * SECOND + 300 * SECOND * 30e-6, abs=MS)


@pytest.mark.parametrize("step_s", [-86_400, -600, 7_200])
def test_a_device_clock_that_is_set_is_seen_anew(step_s):
    watch = ClockWatch(10.0, 3_600 * SECOND)
    for i in range(600):
        true_ns = T0 + i * 100 * MS
        watch.see(true_ns + (step_s * SECOND if i >= 300 else 0), true_ns)
    assert watch.offset_ns == pytest.approx(step_s * SECOND, abs=MS)
