"""For how long bytes have come of which nothing decodes: silence, sense and gibberish are told apart."""

from __future__ import annotations

from agent.decode.progress import DecodeProgress

SECOND = 1_000_000_000


def test_a_device_that_never_makes_sense_is_timed_from_its_first_bytes() -> None:
    progress = DecodeProgress()
    assert progress.look(0, {}, talks=False) == 0
    assert progress.look(10 * SECOND, {"frames": 3, "checksum_errors": 3}, talks=True) == 0
    assert progress.look(13 * SECOND, {"frames": 9, "checksum_errors": 9}, talks=True) == 3 * SECOND


def test_one_good_frame_ends_it_and_the_next_gibberish_begins_anew() -> None:
    progress = DecodeProgress()
    progress.look(0, {}, talks=True)
    assert progress.look(5 * SECOND, {"samples": 1}, talks=True) == 0
    assert progress.look(6 * SECOND, {"samples": 1}, talks=True) == 0
    assert progress.look(9 * SECOND, {"samples": 1}, talks=True) == 3 * SECOND


def test_a_silent_device_talks_no_gibberish_when_it_begins_again() -> None:
    progress = DecodeProgress()
    progress.look(0, {"samples": 1}, talks=True)
    assert progress.look(60 * SECOND, {"samples": 1}, talks=False) == 0
    assert progress.look(61 * SECOND, {"samples": 1}, talks=True) == 0  # the first half of a frame is no gibberish yet


def test_frames_that_repeat_or_are_headers_are_understood() -> None:
    progress = DecodeProgress()
    for second, counters in enumerate([{}, {"repeated": 1}, {"repeated": 1, "skipped": 1}, {"time_errors": 1}]):
        assert progress.look(second * SECOND, counters, talks=True) == 0
