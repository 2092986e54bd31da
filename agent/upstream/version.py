"""Which version of MQTT to speak: 5, unless the broker says, or shows twice, that it knows 3.1.1 only."""

from __future__ import annotations

import enum

_CLOSES_TOLERATED = 2


class Version(enum.StrEnum):
    """Versions that brokers speak today."""

    V5 = "5"
    V311 = "3.1.1"


class VersionChoice:
    """Remembers what worked.

    Some brokers answer an unknown version by closing the connection, as does a proxy whose broker is still starting. So
    a 3.1.1 that was chosen on closes alone is doubted once more, now that the broker is known to answer: in 3.1.1 it
    would not tell when it refuses a message.
    """

    def __init__(self) -> None:
        self.current = Version.V5
        self._proven = False
        self._closes = 0
        self._assumed = False
        self._doubted = False

    def accepted(self) -> bool:
        """Note that the broker accepted `current`; False where version 5 should be tried again before that is believed."""
        if self._assumed:
            self._assumed, self._doubted = False, True
            self.current = Version.V5
            return False
        self._proven = True
        return True

    def refused(self) -> None:
        """Note that the broker said in words that it does not speak `current`."""
        self._switch()
        self._proven = self._assumed = False

    def closed(self) -> None:
        """Note that the broker closed the connection without an answer."""
        if self._proven:
            return
        self._closes += 1
        if self._doubted or self._closes >= _CLOSES_TOLERATED:
            self._switch()
            self._assumed = self.current is Version.V311 and not self._doubted

    def _switch(self) -> None:
        self.current = Version.V311 if self.current is Version.V5 else Version.V5
        self._closes = 0
