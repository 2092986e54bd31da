"""The decoder: zeros survive, bad bytes are counted by what is wrong with them, and every format says what is missing."""

import math

import numpy as np
import pytest

from agent.decode.decoder import Decoder
from agent.decode.encode import Encoder
from agent.types import Chunk, Quality, TimeQuality
from tests.harness.profiles import ARRIVING_LINES, COUNTED, STAMPED_JSON, make, shipped, shipped_names

T0 = 1_700_000_000_000_000_000


def lines(*texts):
    return [Chunk("d", ("\n" + "\n".join(texts) + "\n").encode(), T0)]


def messages(*texts):
    return [Chunk("d", text.encode(), T0 + i) for i, text in enumerate(texts)]


def sent(profile, rows, times):
    """What arrives for these samples; the time of each message's last one is its arrival."""
    encoder = Encoder(profile)
    published = [
        (t_ns, message)
        for row, t_ns in zip(rows, times, strict=True)
        for message in encoder.messages(row, t_ns, "plant/n")
    ]
    return [Chunk("d", payload, t_ns, topic) for t_ns, (topic, payload) in published]


def merged(batch):
    """Times, and values with the rows of one time made one: messages may share a time and have different channels."""
    times = sorted(set(batch.t_ns.tolist()))
    return times, np.array([np.nanmax(batch.values[batch.t_ns == t_ns], axis=0) for t_ns in times])


@pytest.mark.parametrize("name", shipped_names())
def test_zero_readings_are_readings(name):
    profile = shipped(name)
    zero = [0.0] * len(profile.channel)
    count = profile.frame_samples
    batch = Decoder(profile, "d").feed(sent(profile, [zero] * count, [T0] * count))
    assert batch is not None
    np.testing.assert_allclose(
        merged(batch)[1], [zero] * count, atol=0.06
    )  # a step of accel3's temperature is 0.11 Cel
    holds_zero = [(channel.minimum or 0) <= 0 <= (channel.maximum or 0) for channel in profile.channel]
    assert not (batch.quality[:, holds_zero] & ~np.uint8(Quality.MISSING)).any()


@pytest.mark.parametrize("name", shipped_names())
def test_what_the_encoder_says_the_decoder_understands(name):
    profile = shipped(name)
    rng = np.random.default_rng(1)
    low = [0.0 if channel.minimum is None else channel.minimum for channel in profile.channel]
    high = [1.0 if channel.maximum is None else channel.maximum for channel in profile.channel]
    count = 50 // profile.frame_samples * profile.frame_samples
    values, decoder = rng.uniform(low, high, (count, len(low))), Decoder(profile, "d")
    times = [T0 + round(i * 1e9 / profile.rate_hz) // 1_000_000 * 1_000_000 for i in range(count)]
    batch = decoder.feed(sent(profile, values, times))
    assert batch is not None
    steps = [max(abs(channel.scale), 1e-6) for channel in profile.channel]
    found, decoded = merged(batch)
    assert (np.abs(decoded - values) <= np.array(steps) * 1.01).all()
    worst_ns = (
        1_000_000 if profile.time.kind == "counter" else 0
    )  # the arrivals that a regression sees are whole milliseconds
    assert np.abs(np.array(found) - times).max() <= worst_ns
    assert batch.time_quality == profile.time.kind
    assert decoder.counters["samples"] == len(batch)


class TestBinary:
    def test_a_wrong_checksum_is_counted_and_the_next_frame_is_read(self):
        profile = make(COUNTED)
        encoder, decoder = Encoder(profile), Decoder(profile, "d")
        frames = [encoder.frame([i, i], T0) for i in range(3)]
        broken = bytearray(frames[1])
        broken[-4] ^= 0x01  # of the float; no COBS code, no zero
        batch = decoder.feed([Chunk("d", frames[0] + bytes(broken) + frames[2], T0)])
        assert batch.values[:, 1].tolist() == [0.0, 2.0]
        assert batch.lost == 1
        assert decoder.counters["checksum_errors"] == 1
        assert decoder.counters["resync_bytes"] == len(broken) - 1

    def test_a_record_of_another_size_is_no_record(self):
        profile = make(COUNTED.replace('checksum = { name = "crc16-modbus" }', ""))
        encoder, decoder = Encoder(profile), Decoder(profile, "d")
        good = encoder.frame([1, 2], T0)
        assert len(decoder.feed([Chunk("d", good + b"\x03\x01\x02\0" + encoder.frame([3, 4], T0), T0)])) == 2
        assert decoder.counters["decode_errors"] == 1

    def test_repeats_are_dropped_and_counted(self):
        profile = make(COUNTED)
        encoder, decoder = Encoder(profile), Decoder(profile, "d")
        first, second = encoder.frame([1, 1], T0), encoder.frame([2, 2], T0)
        batch = decoder.feed([Chunk("d", first + second + second, T0)])
        assert batch.values[:, 1].tolist() == [1.0, 2.0]
        assert decoder.counters["repeated"] == 1
        assert decoder.feed([Chunk("d", second, T0)]) is None
        assert decoder.frame_balance().missing == 0

    def test_counter_time_follows_the_rate(self):
        profile = make(COUNTED)
        encoder, decoder = Encoder(profile), Decoder(profile, "d")
        batch = decoder.feed([Chunk("d", b"".join(encoder.frame([1, 1], 0) for _ in range(3)), T0)])
        assert np.diff(batch.t_ns).tolist() == [100_000_000] * 2
        assert batch.time_quality is TimeQuality.COUNTER

    def test_big_endian_records_and_checksums(self):
        body = COUNTED.replace('name = "crc16-modbus"', 'name = "crc32-iso-hdlc", endian = "big"')
        profile = make(body.replace("binary = {", 'binary = { endian = "big",'))
        frame = Encoder(profile).frame([1.0, 2.0], T0)
        assert b"\x40" in frame  # 2.0 begins with 0x40 in big-endian order
        assert Decoder(profile, "d").feed([Chunk("d", frame, T0)]).values.tolist() == [[1.0, 2.0]]

    def test_an_integer_without_a_code_cannot_say_no_reading(self):
        with pytest.raises(ValueError, match="no invalid code"):
            Encoder(make(COUNTED)).frame([math.nan, 1.0], T0)

    def test_a_nan_float_is_missing(self):
        profile = make(COUNTED)
        batch = Decoder(profile, "d").feed([Chunk("d", Encoder(profile).frame([1.0, math.nan], T0), T0)])
        assert batch.quality.tolist() == [[Quality.GOOD, Quality.MISSING]]


class TestLines:
    def test_cells_that_are_no_numbers_are_missing_and_the_rest_is_kept(self):
        batch = Decoder(make(ARRIVING_LINES), "d").feed(lines("1,2", "Bad,0", " 3 ,nan", "inf,4"))
        assert batch.quality.tolist() == [[0, 0], [1, 0], [0, 1], [1, 0]]
        np.testing.assert_array_equal(batch.values, [[1, 2], [math.nan, 0], [3, math.nan], [math.nan, 4]])

    def test_lines_without_a_sample_are_counted_by_why(self):
        decoder = Decoder(make(ARRIVING_LINES), "d")
        batch = decoder.feed(lines("a,b", "1,2", "1,2,3", "1", "x,y", ",", "\xff\x00,\xfe", "5,6\r"))
        assert batch.values.tolist() == [[1, 2], [5, 6]]
        assert decoder.counters["skipped"] == 1
        assert decoder.counters["decode_errors"] == 5
        assert decoder.balance().missing == 0
        assert decoder.frame_balance().missing == 0

    def test_a_line_too_long_does_not_lend_its_cells_to_a_line_too_short(self):
        assert Decoder(make(ARRIVING_LINES), "d").feed(lines("1,2,3", "4", "5,6")).values.tolist() == [[5, 6]]

    def test_a_decimal_comma_is_no_number_and_shifts_no_cell(self):
        profile = make(ARRIVING_LINES.replace("csv = {", 'csv = { separator = ";",'))
        batch = Decoder(profile, "d").feed(lines("1;2", "1,5;2", "3;4"))
        np.testing.assert_array_equal(batch.values, [[1, 2], [math.nan, 2], [3, 4]])

    def test_samples_of_one_chunk_have_times_of_their_own(self):
        batch = Decoder(make(ARRIVING_LINES), "d").feed(lines("1,2", "3,4", "5,6"))
        assert batch.t_ns.tolist() == [T0 - 200_000_000, T0 - 100_000_000, T0]
        assert batch.time_quality is TimeQuality.ARRIVAL

    def test_rfc3339_times_with_and_without_an_offset(self):
        body = """
        framing = { kind = "lines" }
        csv = { columns = ["t", "a"], separator = ";" }
        time = { kind = "device", field = "t", unit = "rfc3339" }
        channel = [{ name = "a", unit = "1" }]
        """
        batch = Decoder(make(body), "d").feed(
            lines("2023-11-14T22:13:20Z;1", "2023-11-14T23:13:20.5+01:00;2", "2023-11-14 22:13:21;3", "yesterday;4")
        )
        assert (batch.t_ns - T0).tolist() == [0, 500_000_000, 1_000_000_000]

    def test_rfc3339_times_that_are_no_text_or_beyond_all_bounds_are_counted(self):
        body = """
        framing = { kind = "message" }
        json = { fields = { t = "t", a = "a" } }
        time = { kind = "device", field = "t", unit = "rfc3339" }
        channel = [{ name = "a", unit = "1" }]
        """
        decoder = Decoder(make(body, transport="mqtt"), "d")
        times = [
            "",
            '"t": null,',
            '"t": 5,',
            '"t": [],',
            '"t": "9999-12-31T00:00:00Z",',
            '"t": "0001-01-01T00:00:00Z",',
        ]
        for time in times:
            assert decoder.feed([Chunk("d", f'{{{time} "a": 1}}'.encode(), T0)]) is None
        assert decoder.counters["decode_errors"] == len(times)
        assert decoder.frame_balance().missing == 0

    def test_samples_out_of_order_come_oldest_first(self):
        body = """
        framing = { kind = "lines" }
        csv = { columns = ["t", "a"] }
        time = { kind = "device", field = "t", unit = "s" }
        channel = [{ name = "a", unit = "1" }]
        """
        batch = Decoder(make(body), "d").feed(lines("1700000002,2", "1700000001,1", "1700000003,3"))
        assert batch.values[:, 0].tolist() == [1, 2, 3]


class TestJson:
    def test_values_are_found_by_path_and_absent_ones_are_missing(self):
        batch = Decoder(make(STAMPED_JSON, transport="mqtt"), "d").feed(
            messages(
                '{"t": 1, "deep": [{}, {"a": 1}], "b": 2}',
                '{"t": 2, "deep": [], "b": 0, "other": {"t": 5}}',
            )
        )
        np.testing.assert_array_equal(batch.values, [[1, 2], [math.nan, 0]])

    def test_numbers_as_text_and_booleans_are_numbers(self):
        batch = Decoder(make(STAMPED_JSON, transport="mqtt"), "d").feed(
            messages(
                '{"t": 3.5, "deep": [{}, {"a": "7.5"}]}',
                '{"t": "4", "deep": [{}, {"a": true}], "b": null}',
                '{"t": 5, "deep": [{}, {"a": {}}], "b": false}',
            )
        )
        np.testing.assert_array_equal(batch.values, [[7.5, math.nan], [1, math.nan], [math.nan, 0]])
        assert batch.t_ns.tolist() == [3_500_000_000, 4_000_000_000, 5_000_000_000]

    @pytest.mark.parametrize(
        "text",
        [
            "", "{", "[1]", "null", "12", "\0", '{"t": 1}', '{"b": 1}', '{"t": null, "b": 1}', '{"t": [], "b": 1}',
            '{"t": 1e400, "b": 1}', '{"t": 99999999999999999999, "b": 1}', '{"t": 1, "deep": 5, "b": 1}',
            '{"t": 1, "b": NaN}', "[" * 100_000, '{"t": 1, "b": "x"}', '{"t": 1, "b": 1' + "0" * 400 + "}",
        ],
    )  # fmt: skip
    def test_a_message_without_a_sample_is_counted(self, text):
        decoder = Decoder(
            make(STAMPED_JSON.replace('"message"', '"message", max_frame_bytes = 200000'), transport="mqtt"), "d"
        )
        assert decoder.feed(messages(text)) is None
        assert decoder.counters["decode_errors"] == bool(text)
        assert decoder.balance().missing == 0

    def test_nanosecond_integers_stay_exact(self):
        profile = make(STAMPED_JSON.replace('unit = "s"', 'unit = "ns"'), transport="mqtt")
        batch = Decoder(profile, "d").feed(messages('{"t": 1700000000123456789, "b": 1}'))
        assert batch.t_ns.tolist() == [1_700_000_000_123_456_789]


def test_ranges_and_codes_are_marked():
    body = """
    framing = { kind = "lines" }
    csv = { columns = ["a", "b"] }
    time = { kind = "arrival" }
    channel = [
      { name = "a", unit = "1", scale = 2.0, offset = -1.0, minimum = 0.0, maximum = 10.0, invalid = [999, -1] },
      { name = "b", unit = "1" },
    ]
    """
    decoder = Decoder(make(body), "d")
    batch = decoder.feed(lines("0.5,0", "0,0", "5.5,0", "6,0", "999,0", "-1,1e39"))
    np.testing.assert_array_equal(batch.values[:, 0], [0, -1, 10, 11, math.nan, math.nan])
    good, out, missing = Quality.GOOD, Quality.OUT_OF_RANGE, Quality.MISSING
    assert batch.quality[:, 0].tolist() == [good, out, good, out, missing, missing]
    assert batch.quality[5, 1] == missing  # beyond float32
    assert decoder.counters["out_of_range"] == 2
    assert decoder.counters["missing"] == 3
