"""The alarm state model of ISA-18.2 (IEC 62682, clause 5): what each action makes of an alarm, and which it refuses."""

from __future__ import annotations

import enum

import msgspec


class State(enum.StrEnum):
    """What an operator sees of an alarm; the letter is the standard's."""

    NORMAL = "normal"  # A
    UNACKNOWLEDGED = "unacknowledged"  # B
    ACKNOWLEDGED = "acknowledged"  # C
    RETURNED = "returned_unacknowledged"  # D: back to normal before anyone acknowledged it
    LATCHED_UNACKNOWLEDGED = "latched_unacknowledged"  # E: back to normal, but kept until it is acknowledged and reset
    LATCHED_ACKNOWLEDGED = "latched_acknowledged"  # F
    SHELVED = "shelved"  # G: put aside by an operator, for a time
    SUPPRESSED = "suppressed_by_design"  # H: means nothing in the machine's present condition
    OUT_OF_SERVICE = "out_of_service"  # I: being maintained


class Action(enum.StrEnum):
    """What happens to an alarm: the first two by the process, SUPPRESS and UNSUPPRESS by a condition, the others by an operator.

    JUDGE is none of the standard's: an operator says whether the alarm was a true one, which changes no state.
    """

    RAISE = "raise"
    CLEAR = "clear"
    ACK = "ack"
    RESET = "reset"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    SUPPRESS = "suppress"
    UNSUPPRESS = "unsuppress"
    REMOVE = "remove_from_service"
    RETURN = "return_to_service"
    JUDGE = "judge"


class RefusedError(ValueError):
    """An action that makes no sense in this state; the message says why."""


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """How an alarm was designed: whether an operator must acknowledge it, and whether it must be reset after it cleared."""

    acknowledge: bool = True
    latch: bool = False


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """All that decides the state. Overrides hide the alarm: while one holds, only `active` follows the process."""

    active: bool = False  # the process condition holds
    unacknowledged: bool = False
    latched: bool = False
    shelved: bool = False
    suppressed: bool = False
    out_of_service: bool = False

    @property
    def state(self) -> State:
        """Of several overrides the one shows that takes most to lift."""
        if self.out_of_service:
            return State.OUT_OF_SERVICE
        if self.suppressed:
            return State.SUPPRESSED
        if self.shelved:
            return State.SHELVED
        if self.active:
            return State.UNACKNOWLEDGED if self.unacknowledged else State.ACKNOWLEDGED
        if self.latched:
            return State.LATCHED_UNACKNOWLEDGED if self.unacknowledged else State.LATCHED_ACKNOWLEDGED
        return State.RETURNED if self.unacknowledged else State.NORMAL

    @property
    def overridden(self) -> bool:
        """Whether the alarm is hidden from the operator."""
        return self.shelved or self.suppressed or self.out_of_service


_OVERRIDES = {
    Action.SHELVE: ("shelved", True),
    Action.UNSHELVE: ("shelved", False),
    Action.SUPPRESS: ("suppressed", True),
    Action.UNSUPPRESS: ("suppressed", False),
    Action.REMOVE: ("out_of_service", True),
    Action.RETURN: ("out_of_service", False),
}


def step(status: Status, action: Action, behaviour: Behaviour) -> Status:
    """The status after `action`; raises RefusedError where it changes nothing, but of JUDGE, or may not be done."""
    if action is Action.JUDGE:
        return status
    if action in _OVERRIDES:
        return _override(status, *_OVERRIDES[action], behaviour)
    if action is Action.RAISE:
        _require(not status.active, "the alarm is active already")
        return _annunciated(status, behaviour) if not status.overridden else _with(status, active=True)
    if action is Action.CLEAR:
        _require(status.active, "the alarm is not active")
        return _with(status, active=False)
    _require(not status.overridden, f"the alarm is {status.state.value.replace('_', ' ')}")
    if action is Action.ACK:
        _require(status.unacknowledged, "there is nothing to acknowledge")
        return _with(status, unacknowledged=False)
    _require(status.latched, "the alarm is not latched")
    _require(not status.active, "the machine still deviates: an alarm can be reset once that is over")
    _require(not status.unacknowledged, "acknowledge the alarm first")
    return _with(status, latched=False)


def _override(status: Status, name: str, value: bool, behaviour: Behaviour) -> Status:  # noqa: FBT001 - a field's value
    _require(
        getattr(status, name) is not value, f"the alarm is {'already' if value else 'not'} {name.replace('_', ' ')}"
    )
    changed = _with(status, **{name: value})
    if changed.overridden:
        return _with(changed, unacknowledged=False, latched=False)
    # An alarm that comes out from under its last override while it is active is news, whatever was known of it before.
    return _annunciated(changed, behaviour) if changed.active else changed


def _annunciated(status: Status, behaviour: Behaviour) -> Status:
    return _with(status, active=True, unacknowledged=behaviour.acknowledge, latched=behaviour.latch)


def _with(status: Status, **changes: bool) -> Status:
    return msgspec.structs.replace(status, **changes)


def _require(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - a condition
    if not holds:
        raise RefusedError(otherwise)
