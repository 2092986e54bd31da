"""MQTT topic filters: which devices a message is for, and which filters may share one connection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from paho.mqtt.client import topic_matches_sub

from agent.config.checked import Connection, Subscription

_CACHED_TOPICS = 4_096


class Router:
    """The devices whose filter a topic matches, remembered by topic."""

    def __init__(self, filters: Mapping[str, str]) -> None:
        self._filters = dict(filters)
        self._known: dict[str, tuple[str, ...]] = {}

    def devices(self, topic: str) -> tuple[str, ...]:
        """In the order of the filters; empty where none matches."""
        devices = self._known.get(topic)
        if devices is None:
            devices = tuple(device for device, pattern in self._filters.items() if topic_matches_sub(pattern, topic))
            if len(self._known) >= _CACHED_TOPICS:  # whoever publishes on endless topics costs time, not memory
                self._known.clear()
            self._known[topic] = devices
        return devices


def overlap(first: str, second: str) -> bool:
    """True where some topic matches both filters."""
    levels, others = first.split("/"), second.split("/")
    for level, other in zip(levels, others, strict=False):
        if "#" in (level, other):
            return True
        if level != other and "+" not in (level, other):
            return False
    longer = max(levels, others, key=len)[min(len(levels), len(others)) :]
    return not longer or longer == ["#"]  # "a/#" matches "a" too


def connections(subscriptions: Iterable[tuple[str, Subscription]]) -> list[tuple[Connection, dict[str, str]]]:
    """Devices with their subscriptions, as the fewest connections, each with its filters by device.

    A broker may deliver a message once for each filter of a client that it matches (MQTT 5.0, 3.3.4), so filters that overlap
    without being equal get a connection each: otherwise every device would take the same sample twice.
    """
    groups: list[tuple[Connection, dict[str, str]]] = []
    for device, subscription in subscriptions:
        for connection, filters in groups:
            if connection == subscription.connection and fits(subscription.topic, filters.values()):
                filters[device] = subscription.topic
                break
        else:
            groups.append((subscription.connection, {device: subscription.topic}))
    return groups


def fits(topic: str, filters: Iterable[str]) -> bool:
    """True where `topic` equals or does not overlap each of `filters`."""
    return all(topic == other or not overlap(topic, other) for other in filters)
