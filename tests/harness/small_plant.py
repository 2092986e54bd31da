"""The agent's file of a small plant, table by table, and the key that its bundles are signed with."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from agent.infer.keys import public_pem
from tests.harness.agent_folder import KEY

_HEAD = """
[agent]
id = "{agent}"
state = "state"
health_every = "1s"
[upstream]
broker = "{broker}"
[trust]
keys = ["release.pub"]
"""


def write(folder: Path, broker: str, *tables: str, agent: str = "line-3") -> Path:
    """Put agent.toml and the key into `folder`; `broker` takes the alarms, and health comes every second."""
    (folder / "release.pub").write_bytes(public_pem(KEY.public_key()))
    config = folder / "agent.toml"
    config.write_text("".join([_HEAD.format(agent=agent, broker=broker), *tables]))
    return config


def device(name: str, profile: str, place: str) -> str:
    """A device; `place` is a line like `serial = {...}`."""
    return f'[[device]]\nid = "{name}"\nprofile = "{profile}"\n{place}\n'


def machine(name: str, bundle: str, channels: Iterable[str], *more: str, false_alarms: str = "1 per week") -> str:
    """A machine whose alarms nobody needs to acknowledge; `more` are further lines."""
    listed = ", ".join(f'"{channel}"' for channel in channels)
    lines = [f'id = "{name}"', f'bundle = "{bundle}"', f"channels = [{listed}]", f'false_alarms = "{false_alarms}"']
    lines.append("acknowledge = false")
    return "\n".join(["[[machine]]", *lines, *more, ""])
