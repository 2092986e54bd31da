"""Says what became of a bundle or a configuration: in the log, on the security topic, in the audit journal, and to whoever asked for it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from agent.clock import Clock
from agent.decide.journal import entry
from agent.errors import OutboxError
from agent.metrics import Counters
from agent.types import Commit
from agent.upstream.compose import Composer
from agent.upstream.documents import BundleReference, SecurityDocument, SecurityEvent

log = logging.getLogger(__name__)

_MOST_WAITING = 64
_BAD = frozenset(
    {
        SecurityEvent.REFUSED,
        SecurityEvent.RETURNED,
        SecurityEvent.STRANDED,
        SecurityEvent.CONFIG_REFUSED,
        SecurityEvent.CONFIG_REVERTED,
    }
)


class Teller:
    """One thread's own. What the outbox does not take now waits, bounded; counters: told, dropped."""

    def __init__(self, composer: Composer, submit: Callable[[Commit], None], clock: Clock) -> None:
        """`submit` raises OutboxError where the disk lags behind."""
        self.counters = Counters()
        self._composer = composer
        self._submit = submit
        self._clock = clock
        self._waiting: deque[Commit] = deque()

    def tell(
        self,
        event: SecurityEvent,
        what: str,
        remedy: str = "",
        *,
        bundle: BundleReference | None = None,
        record: Mapping[str, Any] | None = None,
        answer: Callable[[], None] | None = None,
    ) -> None:
        """Say it once; `record` is the request that led to it, `answer` is called when it is on disk."""
        log.log(logging.WARNING if event in _BAD else logging.INFO, "%s: %s", event.value, what)
        now_ns, by = self._clock.now_ns(), None if record is None else record.get("by")
        body = SecurityDocument(event=event, what=what, remedy=remedy, bundle=bundle, by=by)
        message = self._composer.security(body, now_ns)
        told = {"event": event.value, "what": what, "bundle": bundle, "time_ns": now_ns}
        journal = [entry("security", {**dict(record or {}), **told})]
        if len(self._waiting) >= _MOST_WAITING:
            self._waiting.popleft()
            self.counters.add("dropped")
        self._waiting.append(Commit((message,), journal=tuple(journal), answers=() if answer is None else (answer,)))
        self.flush()

    def flush(self) -> None:
        """Hand over what waits."""
        while self._waiting:
            try:
                self._submit(self._waiting[0])
            except OutboxError as error:
                log.error("%s", error)
                return
            self._waiting.popleft()
            self.counters.add("told")
