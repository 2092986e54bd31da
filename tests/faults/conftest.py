"""Fixtures that several tests of faults share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.broker import Broker


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("broker")) as broker:
        yield broker
