"""What attack stories of bundles share: how a byte is spoilt, and that a bundle is refused for the reason told."""

from __future__ import annotations

import pytest

from agent.errors import BundleError
from agent.infer.bundle import open_bundle
from tests.harness.bundles import PUBLIC


def refused(data: bytes, message: str, **how: object) -> None:
    """`how` replaces what the box asks of a bundle, of which it trusts PUBLIC."""
    with pytest.raises(BundleError, match=message):
        open_bundle(data, **({"trusted": [PUBLIC]} | how))


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
