"""The topics that an agent speaks on, and which names may be a level of one."""

from __future__ import annotations

from dataclasses import dataclass

MAX_LEVEL_BYTES = 64


@dataclass(frozen=True, slots=True)
class Topics:
    """Topics of one agent; raises ValueError for a base or an id that MQTT would misread.

    Levels are those of MQTT v5, 4.7; `base` may have several of them, separated by slashes.
    """

    base: str
    agent: str

    def __post_init__(self) -> None:
        for level in (*self.base.split("/"), self.agent):
            check_level(level)
        if self.base.startswith("$"):
            raise ValueError(f"the base '{self.base}' starts with $, which brokers keep for themselves")

    @property
    def availability(self) -> str:
        """One of online, stopped, offline; retained, and the topic of the will."""
        return f"{self.base}/{self.agent}/availability"

    @property
    def health(self) -> str:
        """The agent's own health; retained."""
        return f"{self.base}/{self.agent}/health"

    @property
    def gap(self) -> str:
        """What was lost because the outbox was full."""
        return f"{self.base}/{self.agent}/gap"

    @property
    def security(self) -> str:
        """Which models were let in and which were not; not retained."""
        return f"{self.base}/{self.agent}/security"

    def device_health(self, device: str) -> str:
        """Health of a device's channels and link; retained."""
        return f"{self.base}/{self.agent}/device/{check_level(device)}/health"

    def alarm(self, machine: str) -> str:
        """Alarm events: new, update, end; not retained."""
        return f"{self._machine(machine)}/alarm"

    def alarms(self, machine: str) -> str:
        """The alarms that stand now; retained."""
        return f"{self._machine(machine)}/alarms"

    def summary(self, machine: str) -> str:
        """Periodic summaries; not retained."""
        return f"{self._machine(machine)}/summary"

    def day(self, machine: str) -> str:
        """Summaries of whole days, apart from those of intervals so that nobody adds them to these; not retained."""
        return f"{self._machine(machine)}/summary/day"

    @property
    def prefix(self) -> str:
        """Before every topic of this agent."""
        return f"{self.base}/{self.agent}"

    def _machine(self, machine: str) -> str:
        return f"{self.base}/{self.agent}/machine/{check_level(machine)}"


def check_level(level: str) -> str:
    """`level` itself; raises ValueError where it cannot be one level of a topic."""
    if not level:
        raise ValueError("an empty name cannot be a level of a topic")
    if len(level.encode(errors="surrogatepass")) > MAX_LEVEL_BYTES:
        raise ValueError(f"'{level[:20]}...' is longer than {MAX_LEVEL_BYTES} bytes")
    if bad := next((char for char in level if char in "+#/" or not char.isprintable()), None):
        raise ValueError(f"'{level}' holds {bad!r}, which cannot be in a level of a topic")
    return level
