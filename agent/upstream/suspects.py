"""Messages over which a broker ends connections, as some do over size: each is held back for a while, so that others come through."""

from __future__ import annotations

from dataclasses import dataclass

from agent.upstream.waiting import Outgoing

# As often may a connection end by chance while the same message is the oldest without an answer.
_TOLERATED_ENDS = 2
_MOST_SKIPS = 32
_MOST_SUSPECTS = 100


@dataclass(slots=True)
class _Suspect:
    reason: str
    ends: int = 0
    skips: int = 0


class Suspects:
    """Brokers take messages in order (MQTT v5, 4.6), so the oldest without an answer is what a connection ended over, if over any."""

    def __init__(self) -> None:
        self._known: dict[int | str, _Suspect] = {}

    def note(self, oldest: Outgoing, reason: str, *, certain: bool) -> None:
        """A connection ended for `reason` while `oldest` waited; `certain` where the reason can be no other."""
        suspect = self._known.setdefault(_name(oldest), _Suspect(reason))
        suspect.ends = max(suspect.ends + 1, _TOLERATED_ENDS + 1 if certain else 0)
        suspect.reason = reason
        if suspect.ends > _TOLERATED_ENDS:
            suspect.skips = min(_MOST_SKIPS, 1 << min(suspect.ends - _TOLERATED_ENDS - 1, 16))
        while len(self._known) > _MOST_SUSPECTS:
            del self._known[next(iter(self._known))]

    def clear(self, answered: Outgoing) -> None:
        """The broker answered it."""
        self._known.pop(_name(answered), None)

    def held_back(self, outgoing: Outgoing) -> str | None:
        """Why it is not to be sent this time; after so many times, twice as many after each further end, it is tried again."""
        suspect = self._known.get(_name(outgoing))
        if suspect is None or suspect.skips == 0:
            return None
        suspect.skips -= 1
        return f"{suspect.ends} connections ended over it, the last so: {suspect.reason}"


def _name(outgoing: Outgoing) -> int | str:
    return outgoing.topic if outgoing.row_id is None else outgoing.row_id
