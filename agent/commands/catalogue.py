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
LONGEST_CONFIG = 32 * 1024
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


class OfBundle(Arguments, frozen=True, kw_only=True):
    """What is to be done with the bundle of this name, who wants it, and why."""

    by: Name
    bundle: Text
    comment: Comment | None = None


class Shadow(OfBundle, frozen=True, kw_only=True):
    """With `stop` the comparison ends."""

    stop: bool = False


class Install(Arguments, frozen=True, kw_only=True):
    """A bundle's file on the box, as the agent's own user may read it."""

    by: Name
    file: Annotated[str, msgspec.Meta(min_length=1, max_length=4_096)]
    comment: Comment | None = None


class OfConfig(Arguments, frozen=True, kw_only=True):
    """Who wants another configuration to run, and why."""

    by: Name
    comment: Comment | None = None


class StageConfig(OfConfig, frozen=True, kw_only=True):
    """The whole text of an agent's file."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_CONFIG)]


class ApplyConfig(OfConfig, frozen=True, kw_only=True):
    """Unless it is confirmed within this time ("10m", 10 s to 24 h), the one before runs again."""

    confirm_within: Text = "10m"


class History(Arguments, frozen=True, kw_only=True):
    """The newest records before number `before`, newest first; or with `after` those behind that number as they are stored, for verifying."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_RECORDS)] = 100
    before: Annotated[int, msgspec.Meta(ge=1, le=2**62)] | None = None
    after: Annotated[int, msgspec.Meta(ge=0, le=2**62)] | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """One command; `action` is what it does to an alarm, `bundles` and `config` whether it is about which bundle or configuration runs.

    `local` says that it is taken on the box alone. What is about the configuration must be allowed by its whole name.
    """

    arguments: type[Arguments]
    what: str
    action: Action | None = None
    bundles: bool = False
    config: bool = False
    local: bool = False

    @property
    def reads(self) -> bool:
        """Whether it leaves everything as it is."""
        return self.action is None and not self.bundles and not self.config


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
    "bundle.list": Command(Arguments, "the bundles that the box keeps, which of them run, and what is tried"),
    "bundle.install": Command(
        Install, "verify a bundle and keep it beside the one that runs", bundles=True, local=True
    ),
    "bundle.activate": Command(OfBundle, "run the bundle that was installed, on probation", bundles=True),
    "bundle.rollback": Command(OfBundle, "run the earlier bundle again", bundles=True),
    "bundle.shadow": Command(Shadow, "compare the bundle that was installed with the one that runs", bundles=True),
    "bundle.promote": Command(OfBundle, "end shadow or probation well: the newer bundle runs for good", bundles=True),
    "config.get": Command(Arguments, "the agent's configuration, without secrets"),
    "config.stage": Command(StageConfig, "check a configuration and keep it, to be applied", config=True),
    "config.apply": Command(ApplyConfig, "run the staged configuration, until it is confirmed on trial", config=True),
    "config.confirm": Command(OfConfig, "keep the configuration that is on trial", config=True),
    "config.revert": Command(OfConfig, "run the configuration before again, or forget the staged one", config=True),
    "health.get": Command(Arguments, "the agent's health"),
    "commands.list": Command(Arguments, "these commands, and which of them may be used here"),
}
READING = tuple(name for name, command in COMMANDS.items() if command.reads)
REMOTE = tuple(name for name, command in COMMANDS.items() if not command.local)  # what the network may be allowed


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
