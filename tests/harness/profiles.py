"""Firmware profiles for tests: the shipped ones by name, and small ones made from a few lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.decode.golden import Golden, parse_golden
from agent.decode.profile import Profile, parse_profile
from agent.errors import ConfigError

FOLDER = Path(__file__).parents[2] / "firmware_configs"


def shipped(name: str) -> Profile:
    """A profile of firmware_configs."""
    path = FOLDER / f"{name}.toml"
    return parse_profile(path.read_text(), path.name)


def shipped_names() -> list[str]:
    """All of them."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def profile_text(body: str, *, transport: str = "serial", rate_hz: float = 10.0) -> str:
    """A whole profile around `body`."""
    return (
        'maker = "m"\nmodel = "n"\nsource = "s"\nsilent_after_s = 1.0\n'
        f'transport = "{transport}"\nrate_hz = {rate_hz}\n{body}\n'
    )


def make(body: str, *, transport: str = "serial", rate_hz: float = 10.0) -> Profile:
    """The profile of `profile_text`."""
    return parse_profile(profile_text(body, transport=transport, rate_hz=rate_hz), "test.toml")


def problems(body: str, transport: str = "serial") -> list[str]:
    """Why there is no such profile."""
    with pytest.raises(ConfigError) as caught:
        make(body, transport=transport)
    return [str(problem) for problem in caught.value.problems]


def check_mistake(body: str, old: str, new: str, said: str, transport: str = "serial") -> None:
    """With `new` in the place of `old` there is a problem that says so."""
    assert old in body
    found = problems(body.replace(old, new, 1), transport)
    assert any(said in problem for problem in found), found


COUNTED = """
framing = { kind = "cobs", max_frame_bytes = 32 }
checksum = { name = "crc16-modbus" }
binary = { fields = [{ name = "n", type = "u16" }, { name = "a", type = "i16" }, { name = "b", type = "f32" }] }
sequence = { field = "n" }
time = { kind = "counter" }
channel = [{ name = "a", unit = "1", scale = 0.5, offset = 1.0 }, { name = "b", unit = "1" }]
"""

ARRIVING_LINES = """
framing = { kind = "lines" }
csv = { columns = ["a", "b"], skip_prefixes = ["a,"] }
time = { kind = "arrival" }
channel = [{ name = "a", unit = "1" }, { name = "b", unit = "1" }]
"""

STAMPED_JSON = """
framing = { kind = "message" }
json = { fields = { t = "t", a = "deep[1].a", b = "b" } }
time = { kind = "device", field = "t", unit = "s" }
channel = [{ name = "a", unit = "1" }, { name = "b", unit = "1" }]
"""


def golden(name: str) -> Golden:
    """The golden frames of a shipped profile."""
    path = FOLDER / "golden" / f"{name}.toml"
    return parse_golden(path.read_text(), path.name)
