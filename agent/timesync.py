"""Whether this box's clock has been set from a source of time, asked of systemd-timesyncd and of the kernel."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from pathlib import Path

# systemd-timesyncd(8) touches it once it has synchronised, after every boot anew.
_MARK = Path("/run/systemd/timesync/synchronized")
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
# Larger than struct timex is anywhere; its first member, `modes`, is 0: nothing is set.
_TIMEX_BYTES = 512


def synchronised(mark: Path = _MARK, ask_kernel: Callable[[], int] | None = None) -> bool:
    """True where either of the two says so; `ask_kernel` is adjtimex(2), which a hardened unit may forbid (-1)."""
    return mark.exists() or (ask_kernel or _adjtimex)() not in (-1, _TIME_ERROR)


def trusted_now_ns() -> int | None:
    """Nanoseconds since the Unix epoch, or None where this box's clock is not synchronised and so proves nothing."""
    return time.time_ns() if synchronised() else None


def _adjtimex() -> int:
    return int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)))
