"""Says Home Assistant's discovery on the link: at the start, again when Home Assistant comes online, and takes back what is no more."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from agent.types import Retained
from agent.upstream.homeassistant import Discovery
from agent.upstream.link import Listener

log = logging.getLogger(__name__)

# Machines come and go with the configuration; more than this is not ours, whatever it says.
_MOST_TAKEN_BACK = 100


class Voice(Protocol):
    """The link as discovery sees it."""

    def retain(self, retained: Retained) -> None:
        """Make this the value of its topic."""
        ...

    def listen(self, topic_filter: str, listener: Listener, *, retained: bool = False) -> None:
        """Tell `listener` what others publish there."""
        ...


def announce(discovery: Discovery, link: Voice) -> Callable[[Discovery], None]:
    """Announce everything, now and for as long as the link runs; to be called before that. What is returned announces something else from then on."""
    announcer = _Announcer(discovery, link)
    announcer.say()
    link.listen(discovery.status_topic, announcer)
    link.listen(discovery.config_filter, announcer, retained=True)
    return announcer.renew


class _Announcer:
    """What this agent once announced, and no longer has, lies retained at the broker until it is emptied there."""

    def __init__(self, discovery: Discovery, link: Voice) -> None:
        self._discovery = discovery
        self._link = link
        self._taken_back: set[str] = set()

    def renew(self, discovery: Discovery) -> None:
        self._discovery = discovery
        self.say()

    def say(self) -> None:
        for announcement in self._discovery.announcements():
            self._link.retain(announcement)

    def take(self, topic: str, payload: bytes, **_: object) -> None:
        if topic == self._discovery.status_topic:
            if payload == b"online":  # Home Assistant has just started
                self.say()
        elif len(self._taken_back) < _MOST_TAKEN_BACK and self._discovery.is_stale(topic, payload):
            log.info("taking back %s, which was announced to Home Assistant and is no more", topic)
            self._taken_back.add(topic)
            self._link.retain(Retained(topic, b""))
