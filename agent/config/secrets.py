"""Read a secret from where the configuration says it lies; no error ever repeats it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from agent.config.load import unreadable
from agent.config.schema import Secret
from agent.errors import ConfigError, Problem

# MQTT gives a password's length two bytes.
LONGEST_BYTES = 65_535


def read_secret(secret: Secret, where: str, beside: Path, environ: Mapping[str, str] = os.environ) -> str:
    """The secret's text without one trailing newline; raises ConfigError at `where`.

    A credential lies in systemd's $CREDENTIALS_DIRECTORY, which systemd itself guards; a file (relative to the folder
    `beside`) must be closed to group and others.
    """
    if (secret.credential is None) == (secret.file is None):
        raise ConfigError(
            [Problem(where, "a secret is either a credential or a file", "set exactly one of the two keys")]
        )
    if secret.file is not None:
        return _read(beside / secret.file, where, guarded=False)
    return _read(_credential_path(secret.credential or "", where, environ), where, guarded=True)


def check_private(path: Path, where: str, environ: Mapping[str, str] = os.environ) -> None:
    """Raise ConfigError where others may open the file of a secret; one among the credentials is systemd's to guard."""
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if folder and path.is_relative_to(folder):
        return
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise ConfigError([unreadable(where, path, error)]) from error
    _check_closed(path, mode, where)


def _check_closed(path: Path, mode: int, where: str) -> None:
    if mode & 0o077:
        raise ConfigError([Problem(where, f"{path} is open to others (mode {mode:04o})", f"chmod 600 {path}")])


def _credential_path(name: str, where: str, environ: Mapping[str, str]) -> Path:
    if not name or "/" in name or name in {".", ".."}:
        raise ConfigError(
            [Problem(where, f"'{name}' is no name of a credential", "a plain name, as in LoadCredential=NAME:...")]
        )
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        remedy = f"add LoadCredential={name}:/path/to/file to the systemd unit; outside of systemd use {{ file = ... }}"
        raise ConfigError([Problem(where, f"no credential '{name}': $CREDENTIALS_DIRECTORY is not set", remedy)])
    return Path(folder) / name


def _read(path: Path, where: str, *, guarded: bool) -> str:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(LONGEST_BYTES + 2)
    except OSError as error:
        raise ConfigError([unreadable(where, path, error)]) from error
    if not guarded:
        _check_closed(path, mode, where)
    data = data.removesuffix(b"\n")
    if not 0 < len(data) <= LONGEST_BYTES:
        raise ConfigError([Problem(where, f"{path} holds no secret of 1 to {LONGEST_BYTES} bytes")])
    try:
        return data.decode()
    except UnicodeDecodeError:  # its text would quote the secret
        raise ConfigError([Problem(where, f"{path} is not UTF-8 text")]) from None
