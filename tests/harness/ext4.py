"""A real ext4 on a loop device that can be made to meet an error, upon which the kernel makes it read-only under whoever writes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.broker import require


@contextmanager
def failing_ext4(folder: Path) -> Iterator[Callable[[], None]]:
    """Mounted at `folder`, which is made; calling what is yielded makes it read-only. Skips the test where that is not permitted."""
    folder.mkdir()
    image = folder.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(24 * 1024 * 1024)
    _try(require("mkfs.ext4", "e2fsprogs"), "-q", "-F", image)
    _try("mount", "-o", "loop,errors=remount-ro", image, folder)
    try:
        device = _try("findmnt", "-n", "-o", "SOURCE", folder).strip()
        trigger = Path("/sys/fs/ext4") / Path(device).name / "trigger_fs_error"
        if not trigger.exists():
            pytest.skip(f"this kernel does not let one make an ext4 fail: there is no {trigger}")
        yield lambda: _fail(trigger)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def _fail(trigger: Path) -> None:
    trigger.write_text("a test asked for it")


def _try(*command: str | Path) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        pytest.skip(f"{command[0]} on a loop device is not permitted here: {ended.stderr.strip()}")
    return ended.stdout
