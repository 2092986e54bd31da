"""Fixtures that several tests share: a sound agent's folder, and a broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.agent_folder import AgentFolder
from tests.harness.broker import Broker


@pytest.fixture
def agent(tmp_path: Path) -> AgentFolder:
    return AgentFolder(tmp_path)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path) as broker:
        yield broker
