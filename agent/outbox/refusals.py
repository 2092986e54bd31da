"""Rows and topics that the broker refused, each waiting longer before its next try, while all others go on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from agent.types import NANOSECONDS

FIRST_WAIT_S = 1
LONGEST_WAIT_S = 300
MAX_ROWS = 1000


@dataclass(slots=True)
class _Refusal:
    topic: str
    reason: str
    tries: int
    retry_at_ns: int


class Refusals:
    """Pure book-keeping on an explicit monotonic time. Past MAX_ROWS refused rows a whole topic waits at once."""

    def __init__(self) -> None:
        self._by_key: dict[int | str, _Refusal] = {}

    def add(self, row_id: int, topic: str, reason: str, now_ns: int, *, whole_topic: bool) -> None:
        """Keep this row, or with `whole_topic` its topic, from being sent for twice as long as last time."""
        if len(self._by_key) >= MAX_ROWS:
            self._by_key = {key: it for key, it in self._by_key.items() if it.retry_at_ns > now_ns}
        key = topic if whole_topic or len(self._by_key) >= MAX_ROWS else row_id
        refusal = self._by_key.setdefault(key, _Refusal(topic, reason, 0, now_ns))
        if refusal.retry_at_ns > now_ns:
            return  # a row that was in flight beside the one that earned the wait
        wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(refusal.tries, 32))
        self._by_key[key] = _Refusal(topic, reason, refusal.tries + 1, now_ns + wait_s * NANOSECONDS)

    def clear(self, row_id: int, topic: str) -> None:
        """The broker took this row: neither it nor its topic is refused any longer."""
        self._by_key.pop(row_id, None)
        self._by_key.pop(topic, None)

    def waiting_rows(self, now_ns: int) -> Collection[int]:
        """Ids of rows whose next try is still to come."""
        return [key for key, it in self._by_key.items() if isinstance(key, int) and it.retry_at_ns > now_ns]

    def waiting_topics(self, now_ns: int) -> Collection[str]:
        """Topics whose next try is still to come."""
        return [key for key, it in self._by_key.items() if isinstance(key, str) and it.retry_at_ns > now_ns]

    def reasons(self) -> dict[str, str]:
        """Why, topic by topic, for people."""
        return {it.topic: it.reason for it in self._by_key.values()}
