"""Nothing that we ship holds a login: no default password, no key that could sign, no guest; each is the owner's own or absent."""

from __future__ import annotations

import re
import subprocess
import tomllib
import typing
from pathlib import Path

import msgspec
import pytest

from agent.config import schema
from agent.config.check import check
from tests.harness.agent_folder import AgentFolder
from tests.harness.command_line import stethos
from tests.integration.test_init_command import LOCAL, SERIAL, Bag

ROOT = Path(__file__).parents[2]
SHIPPED = ("agent", "export", "firmware_configs", "systemd", "scripts")
LOGIN = re.compile(
    rb"""\b(password|passwd|username|secret|token|api_key)["']?\s*[:=]\s*["'][^"'{}$<]+["']""", re.IGNORECASE
)
PRIVATE_KEY = re.compile(rb"BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s*[A-Za-z0-9+/]{16}")


def sections() -> list[type[msgspec.Struct]]:
    return [each for each in vars(schema).values() if isinstance(each, type) and issubclass(each, schema.Section)]


def test_no_key_of_the_configuration_has_a_login_for_its_default() -> None:
    secrets = 0
    for section in sections():
        for field in msgspec.structs.fields(section):
            if schema.Secret in typing.get_args(field.type) or field.name == "username":
                secrets += 1
                assert field.default is None, f"{section.__name__}.{field.name}"
    assert secrets >= 4, "a password and a user's name, for the upstream and for a device"


def shipped_files() -> list[Path]:
    """What git holds, as only that is ever released."""
    listed = subprocess.run(["git", "ls-files", "-z", *SHIPPED], cwd=ROOT, capture_output=True, check=True, timeout=100)
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def test_no_shipped_file_holds_a_password_or_a_private_key() -> None:
    files = shipped_files()
    assert len(files) > 300
    for file in files:
        data = file.read_bytes()
        assert not PRIVATE_KEY.search(data), file
        assert [
            found[0] for found in LOGIN.finditer(data) if not found[0].endswith((b'"set"', b'"mqtt-password"'))
        ] == [], file


@pytest.mark.parametrize("text", [b'password = "admin"', b"PASSWORD: 'x'", b'"token": "abc"'])
def test_the_search_would_find_one(text: bytes) -> None:
    assert LOGIN.search(text)
    assert PRIVATE_KEY.search(b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ\n")


def test_a_first_configuration_has_no_login_that_nobody_gave(tmp_path: Path) -> None:
    bag = Bag(tmp_path)
    assert bag.init(*SERIAL, *LOCAL).exit_code == 0
    upstream = tomllib.loads(bag.config.read_text())["upstream"]
    assert "password" not in upstream
    assert "username" not in upstream
    connection = check(bag.config).upstream
    assert (connection.username, connection.password) == (None, None)


@pytest.mark.parametrize("password", [b"", b"\n"])
def test_an_empty_password_is_none(agent: AgentFolder, password: bytes) -> None:
    (agent.folder / "password").write_bytes(password)
    result = stethos("check", agent.config)
    assert result.exit_code == 2
    assert "holds no secret" in result.output
