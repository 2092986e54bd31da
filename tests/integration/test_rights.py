"""Another user of the box cannot slip a file, a link or a key to the agent unnoticed."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli.commission import _write
from agent.config.check import check
from agent.config.rights import as_owner_of, claim_folder, create_private, open_to_anybody
from agent.control.server import _listening, _open_to_group
from agent.decide.baseline import Baseline
from agent.decide.calibration import Calibration
from agent.decide.commissioning import Commissioning
from agent.errors import ConfigError, LinkError
from tests.harness.agent_folder import AgentFolder
from tests.harness.certificates import Authority

STRANGER = 65_534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def warned(agent: AgentFolder) -> list[str]:
    return [str(each).replace(f"{agent.folder}/", "") for each in check(agent.config).warnings]


def test_a_sound_folder_gives_no_warning(agent: AgentFolder) -> None:
    assert warned(agent) == []


@pytest.mark.parametrize(
    ("file", "where"),
    [
        ("agent.toml", "agent.toml"),
        ("release.pub", "agent.toml:12: trust.keys[0]"),
        ("firmware_configs/accel-cobs.toml", "agent.toml:16: device[0].profile"),
        ("pump.stethos", "agent.toml:26: machine[0].bundle"),
    ],
)
def test_a_file_that_everybody_may_write_is_warned_of(agent: AgentFolder, file: str, where: str) -> None:
    (agent.folder / file).chmod(0o666)
    assert warned(agent) == [f"{where}: everybody may write in {file} (chmod o-w {file})"]


def test_a_folder_that_everybody_may_write_is_as_bad_as_its_files(agent: AgentFolder) -> None:
    (agent.folder / "firmware_configs").chmod(0o777)
    told = "everybody may write in firmware_configs (chmod o-w firmware_configs)"
    assert warned(agent) == [f"agent.toml:16: device[0].profile: {told}", f"agent.toml:21: device[1].profile: {told}"]


def test_the_sticky_bit_protects_what_is_in_a_folder_and_not_the_folder(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "ours").mkdir(mode=0o700)
    assert open_to_anybody(shared / "ours") is None
    assert open_to_anybody(shared) == shared
    shared.chmod(0o777)
    assert open_to_anybody(shared / "ours") == shared
    assert open_to_anybody(shared / "not there yet" / "either") == shared


def test_a_link_is_judged_by_where_it_leads_and_by_where_it_lies(tmp_path: Path) -> None:
    loose, tight = tmp_path / "loose", tmp_path / "tight"
    for folder, rights in ((loose, 0o777), (tight, 0o700)):
        folder.mkdir()
        (folder / "file").touch(mode=0o600)
        folder.chmod(rights)
    (tight / "link").symlink_to(loose / "file")
    (loose / "link").symlink_to(tight / "file")
    assert open_to_anybody(tight / "link") == loose
    assert open_to_anybody(loose / "link") == loose
    assert open_to_anybody(tight / "file") is None


def upstream_with_tls(agent: AgentFolder) -> Path:
    authority = Authority(agent.folder)
    authority.issue("line-3")
    agent.replace(
        'broker = "mqtt://localhost:1883"',
        'broker = "mqtts://localhost"\nca = "ca.pem"\nclient_certificate = "line-3.pem"\nclient_key = "line-3.key"',
    )
    return agent.folder / "line-3.key"


@pytest.mark.parametrize("rights", [0o640, 0o604, 0o666])
def test_a_tls_key_that_others_may_open_is_refused_as_a_password_is(agent: AgentFolder, rights: int) -> None:
    key = upstream_with_tls(agent)
    check(agent.config)
    key.chmod(rights)
    [problem] = agent.problems()
    assert (
        problem
        == f"agent.toml:10: upstream.client_key: line-3.key is open to others (mode {rights:04o}) (chmod 600 line-3.key)"
    )


def test_a_tls_key_among_systemds_credentials_is_systemds_to_guard(
    agent: AgentFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream_with_tls(agent).chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(agent.folder))
    check(agent.config)


def refusal(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        claim_folder(folder, "STATE")
    return str(caught.value)


def test_the_state_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        claim_folder(tmp_path / "state", "STATE")
    finally:
        os.umask(umask)
    assert mode(tmp_path / "state") == 0o700


def test_a_state_folder_that_everybody_may_write_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    for rights in (0o777, 0o1777):  # in a sticky one others could still put a link where a file of ours will be
        state.chmod(rights)
        assert refusal(state) == f"STATE: everybody may write in {state} (chmod o-w {state})"
    state.chmod(0o750)
    claim_folder(state, "STATE")


@as_root
def test_a_state_folder_or_a_link_to_one_that_another_user_put_there_is_refused(tmp_path: Path) -> None:
    mine, planted, link = tmp_path / "mine", tmp_path / "planted", tmp_path / "link"
    mine.mkdir(mode=0o700)
    planted.mkdir(mode=0o700)
    os.chown(planted, STRANGER, STRANGER)
    assert f"{planted} belongs to user {STRANGER}" in refusal(planted)
    link.symlink_to(planted)
    assert f"{link} belongs to user {STRANGER}" in refusal(link)
    link.unlink()
    link.symlink_to(mine)
    claim_folder(link, "STATE")  # as systemd makes one for DynamicUser=
    os.chown(link, STRANGER, STRANGER, follow_symlinks=False)
    assert f"{link} belongs to user {STRANGER}" in refusal(link)


def test_the_daemon_does_not_start_on_such_a_folder_and_says_why(agent: AgentFolder) -> None:
    state = agent.folder / "state"
    state.mkdir()
    (state / "outbox.db").symlink_to(plant_victim(agent.folder))
    state.chmod(0o777)
    command = [sys.executable, "-m", "agent.cli.main", "run", str(agent.config)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 2
    assert f"agent.state: everybody may write in {state} (chmod o-w {state})" in result.stderr
    assert (agent.folder / "victim").read_text() == "somebody's"


def test_a_file_in_the_place_of_the_state_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    assert "File exists" in refusal(tmp_path / "state")


def plant_victim(folder: Path) -> Path:
    victim = folder / "victim"
    victim.write_text("somebody's")
    victim.chmod(0o600)
    return victim


@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_at_the_sockets_place_is_left_alone_and_nothing_is_made_where_it_leads(
    tmp_path: Path, dangling: bool
) -> None:
    victim = tmp_path / "victim" if dangling else plant_victim(tmp_path)
    place = tmp_path / "control.sock"
    place.symlink_to(victim)
    with pytest.raises(LinkError), _listening(place):
        pass
    assert place.is_symlink()
    assert victim.exists() != dangling
    assert dangling or (mode(victim), victim.read_text()) == (0o600, "somebody's")


def test_a_link_to_anothers_socket_is_not_taken_for_our_own(tmp_path: Path) -> None:
    place = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as another:
        another.bind(str(tmp_path / "another.sock"))
        place.symlink_to(tmp_path / "another.sock")
        with pytest.raises(LinkError, match="no socket"), _listening(place):
            pass
    assert (tmp_path / "another.sock").exists()


def test_rights_are_never_given_to_what_took_the_sockets_place(tmp_path: Path) -> None:
    victim = plant_victim(tmp_path)
    place = tmp_path / "control.sock"
    place.symlink_to(victim)
    _open_to_group(place)
    assert mode(victim) == 0o600
    place.unlink()
    victim.rename(place)
    _open_to_group(place)
    assert mode(place) == 0o600


def test_a_private_file_takes_the_place_of_a_link_and_never_writes_through_it(tmp_path: Path) -> None:
    victim = plant_victim(tmp_path)
    (tmp_path / "file").symlink_to(victim)
    umask = os.umask(0)
    try:
        with os.fdopen(create_private(tmp_path / "file"), "wb") as file:
            file.write(b"ours")
    finally:
        os.umask(umask)
    assert victim.read_text() == "somebody's"
    assert (mode(tmp_path / "file"), (tmp_path / "file").read_bytes()) == (0o600, b"ours")


LEARNT = Commissioning(
    machine="pump",
    bundle="pump 1.0.0",
    bundle_sha256="0" * 64,
    channels=[],
    by="Meier",
    comment="",
    created="2026-01-01T00:00:00Z",
    from_ns=0,
    to_ns=1,
    windows=1,
    corrections=[],
    calibration=Calibration(
        threshold=1.0,
        rate_per_hour=1.0,
        shape=0.0,
        scale=1.0,
        body_scores=[0.0, 1.0],
        body_rates=[2.0, 1.0],
        hours=1.0,
        clusters=1,
    ),
    channel_usual=[],
    baseline=Baseline(band_edges_hz=[], channels=[]),
    remarks=[],
)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that another user can reach, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@as_root
def test_root_who_commissions_writes_as_the_states_owner_and_through_no_link_of_his(shared: Path) -> None:
    """The service's user owns its state: root must not follow it to where it could not write by itself."""
    state, roots = shared / "state", shared / "roots"
    for folder in (state, roots):
        folder.mkdir(mode=0o700)
    os.chown(state, STRANGER, STRANGER)
    _write(state / "commissioning" / "pump.json", LEARNT)
    made = state / "commissioning" / "pump.json"
    assert (made.stat().st_uid, mode(made), mode(made.parent)) == (STRANGER, 0o600, 0o700)
    made.unlink()
    made.parent.rmdir()
    (state / "commissioning").symlink_to(roots)
    with pytest.raises(ConfigError, match="cannot be written"):
        _write(state / "commissioning" / "pump.json", LEARNT)
    assert list(roots.iterdir()) == []
    with as_owner_of(roots):
        assert os.geteuid() == 0


@as_root
def test_root_acts_as_the_owner_of_a_folder_and_is_root_again_whatever_happens(shared: Path) -> None:
    os.chown(shared, STRANGER, STRANGER)
    with pytest.raises(ZeroDivisionError), as_owner_of(shared):
        assert (os.geteuid(), os.getegid()) == (STRANGER, STRANGER)
        raise ZeroDivisionError
    assert (os.geteuid(), os.getegid()) == (0, 0)
    with as_owner_of(shared / "missing"):
        assert os.geteuid() == 0


def test_a_commissioned_file_is_its_owners_alone_under_any_umask(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        _write(tmp_path / "state" / "commissioning" / "pump.json", LEARNT)
    finally:
        os.umask(umask)
    assert mode(tmp_path / "state" / "commissioning") == 0o700
    assert mode(tmp_path / "state" / "commissioning" / "pump.json") == 0o600
