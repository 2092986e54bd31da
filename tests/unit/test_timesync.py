"""Whether the clock may be believed: by systemd's mark or by the kernel, and by neither where neither says so."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from agent import timesync
from agent.timesync import synchronised, trusted_now_ns


@pytest.mark.parametrize(
    ("marked", "kernel", "expected"),
    [(True, 5, True), (True, -1, True), (False, 0, True), (False, 4, True), (False, 5, False), (False, -1, False)],
)
def test_one_of_the_two_must_say_so(tmp_path: Path, marked: bool, kernel: int, expected: bool) -> None:
    mark = tmp_path / "synchronized"
    if marked:
        mark.touch()
    assert synchronised(mark, lambda: kernel) is expected


def test_the_kernel_of_this_machine_answers_without_setting_anything(tmp_path: Path) -> None:
    before = time.time()
    assert timesync._adjtimex() in range(-1, 6)
    assert synchronised(tmp_path / "none") is (timesync._adjtimex() in range(5))
    assert time.time() >= before


def test_the_time_is_given_only_where_it_can_be_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timesync, "synchronised", lambda: False)
    assert trusted_now_ns() is None
    monkeypatch.setattr(timesync, "synchronised", lambda: True)
    before = time.time_ns()
    found = trusted_now_ns()
    assert found is not None
    assert before <= found <= time.time_ns()
