"""Check what may be asked of the agent: commands that exist, keys that can be read, a place for the local socket."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.commands.catalogue import COMMANDS, REMOTE
from agent.config.checked import CheckedCommands
from agent.config.findings import Findings
from agent.config.schema import Config
from agent.infer.keys import public_key
from agent.toml_structs import nearest

_LONGEST_KEY_BYTES = 65_536
_LEAST_RECORDS, _MOST_RECORDS = 1_000, 10_000_000


def check_commands(config: Config, findings: Findings) -> CheckedCommands:
    """The commands' access, and the journal that they are written into."""
    commands = config.commands
    for index, pattern in enumerate(commands.mqtt):
        if pattern in COMMANDS and COMMANDS[pattern].local:
            findings.problem(("commands", "mqtt", index), f"'{pattern}' is taken on the box alone", "leave it out")
        elif not any(fnmatchcase(name, pattern) for name in REMOTE):
            findings.problem(("commands", "mqtt", index), f"there is no command '{pattern}'", nearest(pattern, REMOTE))
    changing = [
        name
        for name in REMOTE
        if not COMMANDS[name].reads
        and (
            name in commands.mqtt
            or (not COMMANDS[name].config and any(fnmatchcase(name, each) for each in commands.mqtt))
        )
    ]
    if changing and not commands.keys:
        what = f"whoever may publish on the broker may ask for {', '.join(changing)}, under any name"
        findings.warn(("commands", "mqtt"), what, "name the keys that must sign them in keys, and restrict the topic")
    if not _LEAST_RECORDS <= config.outbox.journal_records <= _MOST_RECORDS:
        what = f"{config.outbox.journal_records} records"
        findings.problem(("outbox", "journal_records"), what, f"write {_LEAST_RECORDS} to {_MOST_RECORDS}")
    return CheckedCommands(
        mqtt=tuple(commands.mqtt),
        keys=tuple(key for index in range(len(commands.keys)) if (key := _key(index, commands.keys[index], findings))),
        socket=control_socket(config, findings.beside),
    )


def without_secrets(config: Config) -> dict[str, Any]:
    """The file's contents for whoever asks; of a secret it says no more than that there is one."""
    found: dict[str, Any] = msgspec.to_builtins(config)
    for table in (found["upstream"], *(device["mqtt"] or {} for device in found["device"])):
        if table.get("password") is not None:
            table["password"] = "set"  # noqa: S105 - no password: that there is one
    if found["trust"]["decryption_key"] is not None:
        found["trust"]["decryption_key"] = "set"
    return found


def control_socket(config: Config, beside: Path) -> Path:
    """Where the agent of this configuration listens; `beside` is the folder of its file."""
    if config.commands.socket is not None:
        return beside / config.commands.socket
    return beside / config.agent.state / "control.sock"


def _key(index: int, file: str, findings: Findings) -> Ed25519PublicKey | None:
    path = ("commands", "keys", index)
    data = findings.read(path, file, _LONGEST_KEY_BYTES)
    return None if data is None else findings.attempt(lambda: public_key(data, findings.locate(path)))
