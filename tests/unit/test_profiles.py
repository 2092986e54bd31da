"""A profile is found by its name, nearest first, and by its path."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config import profiles
from agent.config.profiles import ProfileMissing, available_profiles, find_profile, read_profile
from agent.errors import ConfigError
from tests.harness.agent_folder import ACCEL


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The agent's own folder of profiles, and the system's."""
    found = {"beside": tmp_path / "firmware_configs", "system": tmp_path / "etc"}
    for folder in found.values():
        folder.mkdir()
    monkeypatch.setattr(profiles, "SYSTEM_FOLDER", found["system"])
    return found


def test_the_nearest_profile_of_a_name_wins(folders: dict[str, Path], tmp_path: Path) -> None:
    shipped = find_profile("tep-cobs", tmp_path)
    (folders["system"] / "tep-cobs.toml").touch()
    assert find_profile("tep-cobs", tmp_path) == folders["system"] / "tep-cobs.toml"
    (folders["beside"] / "tep-cobs.toml").touch()
    assert find_profile("tep-cobs", tmp_path) == folders["beside"] / "tep-cobs.toml"
    assert shipped.parent.name == "firmware_configs"
    assert shipped.parent != folders["beside"]


def test_every_shipped_profile_is_available_by_name_and_sound(tmp_path: Path) -> None:
    names = available_profiles(tmp_path)
    assert "tep-cobs" in names
    for name in names:
        assert read_profile(name, tmp_path).channel


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(ACCEL)
    assert read_profile("mine.toml", tmp_path).model == "Accelerometer"
    assert read_profile(str(tmp_path / "mine.toml"), Path("/nowhere")).model == "Accelerometer"


def test_a_missing_name_lists_those_that_exist(folders: dict[str, Path], tmp_path: Path) -> None:
    (folders["beside"] / "mine.toml").touch()
    with pytest.raises(ProfileMissing) as caught:
        read_profile("nothing", tmp_path)
    assert {"mine", "tep-cobs"} <= set(caught.value.available)


def test_a_name_cannot_be_a_folder(folders: dict[str, Path], tmp_path: Path) -> None:
    (folders["beside"] / "odd.toml").mkdir()
    with pytest.raises(ProfileMissing):
        find_profile("odd", tmp_path)
    with pytest.raises(ConfigError):
        read_profile("firmware_configs/odd.toml", tmp_path)
