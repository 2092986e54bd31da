"""Dates after which something signed is no longer to be used. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from agent.errors import BundleError
from agent.types import NANOSECONDS

# Long enough to have a new one signed and carried to every box.
NOTICE_NS = 30 * 86_400 * NANOSECONDS
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


def expiry_ns(text: str) -> int:
    """A time in RFC 3339, whole seconds with an offset, as nanoseconds since the Unix epoch; raises ValueError for anything else."""
    if not _RFC3339.fullmatch(text):
        raise ValueError(f"'{text[:64]}' is no time in RFC 3339; write one like 2027-06-30T00:00:00Z")
    return (datetime.fromisoformat(text) - _EPOCH) // _SECOND * NANOSECONDS


def check_expiry(what: str, expires: str | None, now_ns: int | None, remedy: str) -> list[str]:
    """Warnings about the expiry of `what` at `now_ns` (None: the clock is not synchronised, so that nothing follows from it).

    Raises BundleError, with `remedy`, where it has expired, and ValueError where `expires` is no time.
    """
    if expires is None:
        return []
    end_ns = expiry_ns(expires)
    if now_ns is None:
        return [f"{what} expires at {expires}, which is not checked: this box's clock is not synchronised"]
    if now_ns >= end_ns:
        raise BundleError(f"{what} expired at {expires}; {remedy}")
    if now_ns >= end_ns - NOTICE_NS:
        days = (end_ns - now_ns) // (86_400 * NANOSECONDS)
        return [f"{what} expires in {days} days, at {expires}; {remedy}"]
    return []
