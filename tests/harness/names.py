"""Names of hosts that a test may change: an /etc/hosts of its own, in a private mount namespace, read by the real resolver."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

_BIND = 'mount --bind "$0" /etc/hosts && exec "$@"'


class Names:
    """A table of one name. What runs `under` it looks names up there, and nobody else does."""

    def __init__(self, folder: Path, name: str, address: str) -> None:
        self._file = folder / "hosts"
        self._name = name
        self.move(address)

    def move(self, address: str) -> None:
        """The name has another address from now on; written in place, as the file itself is mounted."""
        self._file.write_text(f"127.0.0.1 localhost\n{address} {self._name}\n")

    @property
    def under(self) -> Sequence[str]:
        """The command that turns into another, which sees this table; skips the test where namespaces are not permitted."""
        command = ["unshare", "--mount", "sh", "-c", _BIND, str(self._file)]
        tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False, timeout=30)
        if tried.returncode:
            pytest.skip(f"a private mount namespace is not permitted here: {tried.stderr.strip()}")
        return command
