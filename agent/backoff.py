"""How long to wait before the next attempt: exponential with full jitter, so that a fleet does not return in step."""

from __future__ import annotations


def full_jitter_s(attempt: int, *, first_s: float, cap_s: float, fraction: float) -> float:
    """Seconds before attempt number `attempt` (1 is the first retry): `fraction` of min(cap, first * 2**(attempt - 1)).

    `fraction` is uniform in [0, 1), from the caller's generator (Brooker, "Exponential Backoff and Jitter", 2015).
    """
    doublings = min(attempt - 1, 32)
    return fraction * min(cap_s, first_s * 2.0**doublings)
