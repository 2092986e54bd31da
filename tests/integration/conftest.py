"""A sound agent's folder, for tests of its configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.agent_folder import AgentFolder


@pytest.fixture
def agent(tmp_path: Path) -> AgentFolder:
    return AgentFolder(tmp_path)
