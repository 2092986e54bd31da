"""Every command by name: what it takes, whether it changes anything, and what it is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec

from agent.decide.alarm import MODEL
from agent.decide.isa18 import Action
from agent.decide.likeness import Judgement

LONGEST_NAME = 64
LONGEST_COMMENT = 500
MOST_RECORDS = 500
# No line breaks and other control characters: names and comments end up in logs and on terminals.
_PLAIN = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\S[^\x00-\x1f\x7f-\x9f\u2028\u2029]*(?![\s\S])"
Name = Annotated[str, msgspec.Meta(max_length=LONGEST_NAME, pattern=_PLAIN)]
Comment = Annotated[str, msgspec.Meta(max_length=LONGEST_COMMENT, pattern=_PLAIN)]
Text = Annotated[str, msgspec.Meta(max_length=256)]


class Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """None; what a command takes stands in the structs below."""


class OfMachine(Arguments, frozen=True, kw_only=True):
    """All machines where none is named."""

    machine: Text | None = None


class Act(Arguments, frozen=True, kw_only=True):
    """An operator's act on one alarm: by its id, or by machine and point, which need not have an alarm now."""

    by: Name
    comment: Comment
    alarm: Text | None = None
    machine: Text | None = None
    point: Text = MODEL


class Ack(Act, frozen=True, kw_only=True):
    """With `verdict` the alarm counts as a true or a false one in the rate of false alarms that the agent publishes."""

    verdict: Judgement | None = None


class Judge(Act, frozen=True, kw_only=True):
    """As of an acknowledgement, of any alarm that is remembered, over or not; the latest verdict counts."""

    verdict: Judgement


class Shelve(Act, frozen=True, kw_only=True, rename={"for_": "for"}):
    """Exactly one of the two: until when (RFC 3339), or for how long ("8h")."""

    until: Text | None = None
    for_: Text | None = None


class History(Arguments, frozen=True, kw_only=True):
    """The newest records before number `before`, newest first; or with `after` those behind that number as they are stored, for verifying."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_RECORDS)] = 100
    before: Annotated[int, msgspec.Meta(ge=1, le=2**62)] | None = None
    after: Annotated[int, msgspec.Meta(ge=0, le=2**62)] | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """One command; `action` is what it does to an alarm, None where it only reads."""

    arguments: type[Arguments]
    what: str
    action: Action | None = None

    @property
    def reads(self) -> bool:
        """Whether it leaves everything as it is."""
        return self.action is None


COMMANDS: Mapping[str, Command] = {
    "alarms.list": Command(OfMachine, "the alarms that stand, and the points that are hidden"),
    "alarms.past": Command(OfMachine, "earlier alarms that are remembered, and what operators said of them"),
    "alarms.history": Command(History, "records of the audit journal"),
    "alarms.ack": Command(Ack, "acknowledge an alarm, and say whether it was a true one", Action.ACK),
    "alarms.judge": Command(
        Judge, "say whether an alarm, which may be over, was a true one: it changes no state", Action.JUDGE
    ),
    "alarms.reset": Command(Act, "reset a latched alarm whose cause is over", Action.RESET),
    "alarms.shelve": Command(Shelve, "put an alarm aside for a time, seven days at most", Action.SHELVE),
    "alarms.unshelve": Command(Act, "take a shelved alarm back before its time", Action.UNSHELVE),
    "alarms.remove": Command(Act, "take an alarm out of service", Action.REMOVE),
    "alarms.return": Command(Act, "return an alarm to service", Action.RETURN),
    "config.get": Command(Arguments, "the agent's configuration, without secrets"),
    "health.get": Command(Arguments, "the agent's health"),
    "commands.list": Command(Arguments, "these commands, and which of them may be used here"),
}
READING = tuple(name for name, command in COMMANDS.items() if command.reads)


def described(name: str, *, allowed: bool) -> dict[str, object]:
    """One command for a list of them."""
    command = COMMANDS[name]
    fields = msgspec.structs.fields(command.arguments)
    return {
        "command": name,
        "what": command.what,
        "changes": not command.reads,
        "allowed": allowed,
        "required": [field.encode_name for field in fields if field.required],
        "optional": [field.encode_name for field in fields if not field.required],
    }
