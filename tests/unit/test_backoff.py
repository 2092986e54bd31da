"""Retries spread out and stay within their bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.backoff import full_jitter_s


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_the_wait_is_between_zero_and_the_doubling_bound_and_never_beyond_the_cap(
    attempt: int, fraction: float
) -> None:
    wait_s = full_jitter_s(attempt, first_s=0.5, cap_s=30, fraction=fraction)
    assert 0 <= wait_s <= min(30, 0.5 * 2.0 ** min(attempt - 1, 40))


def test_the_first_retries_double() -> None:
    assert [full_jitter_s(n, first_s=0.5, cap_s=30, fraction=1) for n in (1, 2, 3, 7, 8)] == [0.5, 1, 2, 30, 30]
