"""Moments as people write them, as nanoseconds since the Unix epoch."""

from __future__ import annotations

import datetime as dt

from agent.decode.records import stamp_ns


def moment_ns(moment: str | dt.datetime) -> int:
    """RFC 3339, or `YYYY-MM-DD HH:MM:SS`, taken as UTC where it names no zone; raises ValueError."""
    text = moment.isoformat() if isinstance(moment, dt.datetime) else moment
    found = stamp_ns(text, "rfc3339")
    if found is None:
        raise ValueError(f"'{text}' is no time")
    return found


def spelled(t_ns: int) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=t_ns // 1_000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
