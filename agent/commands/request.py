"""A request and its response as JSON: {"transaction": ..., ARGUMENTS} and {"status", "data", "error", "transaction"}, after zigbee2mqtt."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from agent.commands.catalogue import COMMANDS, Arguments, Command
from agent.errors import UNREADABLE, StethosError

MAX_BYTES = 16 * 1024
MAX_CONFIG_BYTES = 60 * 1024  # of a request that carries a whole configuration; the link takes messages of 64 KiB
_LONGEST_TRANSACTION = 128


class RequestError(StethosError):
    """A request that is not carried out; the message says why."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request that is well formed."""

    name: str
    command: Command
    arguments: Arguments
    transaction: str | int | None


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a request; `transaction` is the request's own."""

    status: Literal["ok", "error"]
    data: Any = None
    error: str | None = None
    transaction: str | int | None = None


def fields_of(payload: bytes, name: str = "") -> dict[str, Any]:
    """The fields of a request for the command `name`; an empty payload has none. Raises RequestError."""
    most_bytes = MAX_CONFIG_BYTES if name == "config.stage" else MAX_BYTES
    if len(payload) > most_bytes:
        raise RequestError(f"the request has {len(payload)} bytes, {most_bytes} is the most")
    if not payload.strip():
        return {}
    try:
        return msgspec.json.decode(payload, type=dict[str, Any])
    except UNREADABLE as error:
        raise RequestError(f"the request is no JSON object: {error}") from error


def transaction_of(fields: dict[str, Any]) -> str | int | None:
    """The request's own name for itself, where it has a fitting one."""
    transaction = fields.get("transaction")
    if isinstance(transaction, str) and len(transaction) <= _LONGEST_TRANSACTION:
        return transaction
    return transaction if type(transaction) is int and abs(transaction) < 2**63 else None


def command_named(name: str) -> Command:
    """Raises RequestError where there is none of that name."""
    command = COMMANDS.get(name)
    if command is None:
        raise RequestError(f"there is no command '{name[:64]}'; there are {', '.join(COMMANDS)}")
    return command


def request_of(name: str, fields: dict[str, Any]) -> Request:
    """The command `name` with its arguments; raises RequestError."""
    command = command_named(name)
    arguments = {key: value for key, value in fields.items() if key != "transaction"}
    try:
        typed = msgspec.convert(arguments, command.arguments)
    except (*UNREADABLE, OverflowError) as error:
        raise RequestError(f"{name}: {error}") from error
    return Request(name=name, command=command, arguments=typed, transaction=transaction_of(fields))
