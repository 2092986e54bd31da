"""How every test runs: hypothesis with the same examples each time, however slow the machine, and arithmetic in one thread a process."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Threads of several workers on the same few cores wait for each other by spinning: small models take five times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile(
    "same", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("same")  # `--hypothesis-profile explore` looks for other examples
