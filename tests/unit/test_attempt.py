"""A call that blocks is left behind when asked to stop, and what it did after all is undone, once."""

from __future__ import annotations

import threading

import pytest

from agent.attempt import attempt

WAIT_S = 30.0


def test_a_call_that_ends_is_waited_for_and_kept() -> None:
    done: list[str] = []
    assert attempt("t", lambda: done.append("call"), threading.Event(), lambda: done.append("undo"))
    assert done == ["call"]


def test_what_it_raises_is_raised_here_and_half_of_it_undone() -> None:
    undone = threading.Event()

    def fail() -> None:
        raise OSError("no route")

    with pytest.raises(OSError, match="no route"):
        attempt("t", fail, threading.Event(), undone.set)
    assert undone.is_set()


@pytest.mark.parametrize("fails", [False, True])
def test_a_call_that_hangs_is_left_at_the_stop_and_undone_once_when_it_ends(fails: bool) -> None:
    stop, goes_on, undone = threading.Event(), threading.Event(), threading.Semaphore(0)

    def hang() -> None:
        assert goes_on.wait(WAIT_S)
        if fails:
            raise OSError("timed out")

    stop.set()
    assert not attempt("t", hang, stop, undone.release)
    assert not undone.acquire(timeout=0.05), "the call is under way still"
    goes_on.set()
    assert undone.acquire(timeout=WAIT_S)
    assert not undone.acquire(timeout=0.05)
