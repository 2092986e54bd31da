"""What the bodies of our messages consist of, as structs: what composing fills and what the published schemas are made of."""

from __future__ import annotations

import enum
from typing import Literal

import msgspec

from agent.commands.request import Response
from agent.decide.alarm import AlarmEvent, AlarmState
from agent.decide.explanation import Picture
from agent.decide.machine_alarms import Hidden
from agent.decide.severity import Severity, severity
from agent.infer.bundle import Bundle


class BundleReference(msgspec.Struct, frozen=True, kw_only=True):
    """The model that judged: its bundle's name and version, and the digest of the bundle's file."""

    name: str
    version: str
    sha256: str


class SecurityEvent(enum.StrEnum):
    """What happened to the models that a box may run, and to its configuration."""

    REFUSED = "bundle_refused"  # nothing of it runs; what ran goes on
    INSTALLED = "bundle_installed"
    SHADOWED = "bundle_shadowed"
    UNSHADOWED = "bundle_unshadowed"
    ACTIVATED = "bundle_activated"
    CONFIRMED = "bundle_confirmed"
    RETURNED = "bundle_returned"  # by the agent itself
    ROLLED_BACK = "bundle_rolled_back"  # by somebody
    STRANDED = "bundle_stranded"  # it should be gone back from, and cannot
    ROOT_ROTATED = "root_rotated"
    CONFIG_REFUSED = "config_refused"
    CONFIG_STAGED = "config_staged"
    CONFIG_APPLIED = "config_applied"
    CONFIG_CONFIRMED = "config_confirmed"
    CONFIG_REVERTED = "config_reverted"


class SecurityDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle, a root of trust or a configuration was taken, refused or exchanged. `by` is null where the agent did it by itself."""

    event: SecurityEvent
    what: str
    remedy: str
    bundle: BundleReference | None
    by: str | None


class ToldAlarm(AlarmState, frozen=True, kw_only=True):
    """An alarm at one moment, with its urgency on the scales of others."""

    severity: Severity


class AlarmDocument(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm is new, changed or over. `before` is what was last told of it."""

    agent: str
    machine: str
    id: str
    type: Literal["new", "update", "end"]
    revision: int
    bundle: BundleReference
    before: ToldAlarm | None
    after: ToldAlarm
    picture: Picture | None


class AlarmsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The alarms of a machine that stand now, first out first, and its points that are hidden."""

    alarms: list[ToldAlarm]
    hidden: list[Hidden]


class ResponseDocument(Response, frozen=True, kw_only=True):
    """What became of a request."""

    command: str


def reference_of(bundle: Bundle) -> BundleReference:
    """A bundle as messages name it."""
    return BundleReference(name=bundle.manifest.name, version=bundle.manifest.version, sha256=bundle.digest)


def told(alarm: AlarmState) -> ToldAlarm:
    """The alarm as consumers see it."""
    return ToldAlarm(**{name: getattr(alarm, name) for name in alarm.__struct_fields__}, severity=severity(alarm))


def alarm_document(agent: str, event: AlarmEvent, bundle: BundleReference) -> AlarmDocument:
    """An event as consumers see it."""
    return AlarmDocument(
        agent=agent,
        machine=event.after.machine,
        id=event.after.id,
        type=event.type,
        revision=event.revision,
        bundle=bundle,
        before=None if event.before is None else told(event.before),
        after=told(event.after),
        picture=event.picture,
    )
