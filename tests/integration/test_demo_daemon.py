"""The demo starts the real program; where that refuses to start, the demo says why."""

import pytest

from agent.demo.daemon import Daemon
from agent.errors import StethosError


def test_a_daemon_that_refuses_its_configuration_is_reported_with_its_reason(tmp_path):
    config = tmp_path / "agent.toml"
    config.write_text("[agent]\n")
    with Daemon(config, tmp_path / "agent.log") as daemon, pytest.raises(StethosError) as refused:
        daemon.start(timeout_s=60.0)
    assert "exit code 2" in str(refused.value)
    assert "the key 'id' is missing" in str(refused.value)
