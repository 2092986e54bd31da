"""Secrets come from guarded files alone, and no error repeats them."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config.schema import Secret
from agent.config.secrets import LONGEST_BYTES, read_secret
from agent.errors import ConfigError

PASSWORD = "hunter2"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(PASSWORD)
    path.chmod(0o600)
    return path


def refused(secret: Secret, beside: Path, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        read_secret(secret, "WHERE", beside, environ or {})
    text = f"{caught.value!r} {caught.value} {caught.value.__cause__!r} {caught.value.__suppress_context__ or caught.value.__context__!r}"
    assert PASSWORD not in text
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"a", "a"), (b"a\n", "a"), (b"a\n\n", "a\n"), (b" a ", " a "), ("pässword".encode(), "pässword")],
)
def test_one_trailing_newline_is_no_part_of_the_secret(file: Path, data: bytes, expected: str) -> None:
    file.write_bytes(data)
    assert read_secret(Secret(file="secret"), "WHERE", file.parent, {}) == expected


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_file_that_is_open_to_others_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert (
        refused(Secret(file=str(file)), file.parent)
        == f"WHERE: {file} is open to others (mode {mode:04o}) (chmod 600 {file})"
    )


def test_a_credential_is_found_in_systemds_folder(file: Path) -> None:
    environ = {"CREDENTIALS_DIRECTORY": str(file.parent)}
    assert read_secret(Secret(credential="secret"), "WHERE", Path("/nowhere"), environ) == PASSWORD


def test_a_credential_outside_of_systemd_says_how_to_get_one(file: Path) -> None:
    assert "LoadCredential=secret:" in refused(Secret(credential="secret"), file.parent)


@pytest.mark.parametrize("name", ["", ".", "..", "../secret", "a/b"])
def test_a_credential_cannot_leave_its_folder(file: Path, name: str) -> None:
    assert "is no name of a credential" in refused(
        Secret(credential=name), file.parent, {"CREDENTIALS_DIRECTORY": str(file.parent)}
    )


@pytest.mark.parametrize("data", [b"", b"\n", PASSWORD.encode() * LONGEST_BYTES, PASSWORD.encode() + b"\xff"])
def test_what_cannot_be_a_password_is_refused_without_being_repeated(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    refused(Secret(file=str(file)), file.parent)


def test_the_longest_password_with_its_newline_is_read(file: Path) -> None:
    file.write_bytes(b"x" * LONGEST_BYTES + b"\n")
    assert len(read_secret(Secret(file=str(file)), "WHERE", file.parent, {})) == LONGEST_BYTES


@pytest.mark.parametrize("secret", [Secret(), Secret(credential="a", file="b")])
def test_exactly_one_place_must_be_given(file: Path, secret: Secret) -> None:
    assert "set exactly one" in refused(secret, file.parent)


def test_a_missing_file_and_a_folder_are_refused(file: Path) -> None:
    assert "No such file" in refused(Secret(file="missing"), file.parent)
    assert "give the path of a file" in refused(Secret(file="."), file.parent)
