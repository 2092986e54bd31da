"""`[trust]` as an operator writes it: keys or a root, what the box remembers, and which bundles then may run."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.bundles.store import running_store
from agent.bundles.twice import COPY
from agent.config.check import check
from agent.config.commands import without_secrets
from agent.config.partial import check_for_replay
from agent.errors import ConfigError
from agent.infer import encryption
from agent.infer.keys import public_pem
from agent.trust import memory
from agent.trust.memory import Memory
from agent.trust.root import read_chain
from tests.harness.agent_folder import CONTRACT, KEY, AgentFolder, energy_bundle
from tests.harness.roots import ANNE, BEN, EVE, exchanged, first

END, END_NS, DAY_NS = "2027-06-30T12:00:00Z", 1_814_356_800 * 10**9, 86_400 * 10**9
SECRET = bytes(range(32))
TRUST = 'keys = ["release.pub"]'


@pytest.fixture
def agent(tmp_path: Path) -> AgentFolder:
    folder = AgentFolder(tmp_path)
    (tmp_path / "anne.pub").write_bytes(public_pem(ANNE.public_key()))
    return folder


def warnings(agent: AgentFolder, now_ns: int | None = 0) -> list[str]:
    return [str(each).replace(f"{agent.folder}/", "") for each in check(agent.config, now=lambda: now_ns).warnings]


def remembers(agent: AgentFolder, what: Memory) -> None:
    (agent.folder / "state").mkdir(exist_ok=True)
    (agent.folder / "state" / memory.FILE).write_bytes(memory.encode(what))


def manifest(agent: AgentFolder):
    return next(iter(check(agent.config).machines.values())).bundle.manifest


def test_without_more_one_of_the_keys_must_have_signed(agent: AgentFolder) -> None:
    agent.replace(TRUST, 'keys = ["release.pub", "anne.pub"]')
    trust = check(agent.config).trust.trust
    assert (len(trust.keys), trust.threshold, trust.chain, trust.decryption_key) == (2, 1, None, None)
    assert trust.max_bytes == 256 * 1024 * 1024


def test_everything_that_can_be_said_arrives(agent: AgentFolder) -> None:
    more = (
        '\ndevice_class = "pump-box"\nallow = ["pump*"]\nmax_bytes = 2000000\ndecryption_key = { file = "models.aes" }'
    )
    agent.replace(TRUST, TRUST + more)
    (agent.folder / "models.aes").write_text(SECRET.hex() + "\n")
    (agent.folder / "models.aes").chmod(0o600)
    checked = check(agent.config)
    trust = checked.trust.trust
    assert (trust.policy.device_class, trust.policy.allow, trust.max_bytes) == ("pump-box", ("pump*",), 2_000_000)
    assert trust.decryption_key == SECRET
    assert SECRET.hex() not in repr(checked)
    assert without_secrets(checked.config)["trust"]["decryption_key"] == "set"


def test_two_must_have_signed_and_one_did(agent: AgentFolder) -> None:
    agent.replace(TRUST, 'keys = ["release.pub", "anne.pub"]\nthreshold = 2')
    assert agent.problems()[0].startswith(
        "agent.toml:27: machine[0].bundle: pump.stethos: 1 of the 2 trusted keys that must have signed this bundle"
    )


@pytest.mark.parametrize(
    ("trust", "expected"),
    [
        ('keys = ["release.pub"]\nthreshold = 0', "agent.toml:13: trust.threshold: 0 signatures are asked for, of 1 different keys (write 1 to 1)"),
        ('keys = ["release.pub", "release.pub"]\nthreshold = 2', "agent.toml:13: trust.threshold: 2 signatures are asked for, of 1 different keys (write 1 to 1)"),
        ("", "agent.toml:11: trust.keys: no key is trusted, so no bundle may run (add the .pub file of whoever signs bundles, or a root file)"),
        (TRUST + "\nmax_bytes = 1000", "agent.toml:13: trust.max_bytes: 1000 bytes (write 1048576 to 1073741824)"),
        (TRUST + "\nmax_bytes = 1073741825", "agent.toml:13: trust.max_bytes: 1073741825 bytes (write 1048576 to 1073741824)"),
        (TRUST + '\ndevice_class = "pump box"', "agent.toml:13: trust.device_class: 'pump box' cannot stand in a topic (use 1 to 64 of A-Z a-z 0-9 _ -)"),
        (TRUST + '\nallow = ["pump", "sha256:12"]', "agent.toml:13: trust.allow[1]: 'sha256:12' names no bundle (write a bundle's name, a pattern such as pump-*, or sha256: and the 64 hex digits of sha256sum)"),
        (TRUST + '\ndecryption_key = { file = "none" }', "agent.toml:13: trust.decryption_key: cannot read none: No such file or directory (check the path, or create the file)"),
        (TRUST + '\ndecryption_key = { file = "password" }', "agent.toml:13: trust.decryption_key: a decryption key is 64 hex digits; make one with 'stethos bundle keygen --decryption'"),
        ('root = "none.root"', "agent.toml:12: trust.root: cannot read none.root: No such file or directory (check the path, or create the file)"),
        ('root = "release.pub"', "agent.toml:12: trust.root: release.pub: root version 1 is no DSSE envelope"),
    ],
)  # fmt: skip
def test_a_mistake_has_its_own_message_at_its_own_line(agent: AgentFolder, trust: str, expected: str) -> None:
    agent.replace(TRUST, trust)
    (found,) = agent.problems()
    assert found.startswith(expected)


def test_a_bundle_that_is_larger_than_allowed_is_refused(agent: AgentFolder) -> None:
    agent.replace(TRUST, TRUST + "\nmax_bytes = 1048576")
    agent.bundle(energy_bundle(CONTRACT) + bytes(1_048_576))
    assert "more than the 1048576 bytes that [trust] max_bytes allows" in agent.problems()[0]


def test_what_a_bundle_may_not_do_here_is_said_where_it_is_named(agent: AgentFolder) -> None:
    agent.bundle(energy_bundle(CONTRACT, device_classes=["fan-box"]))
    assert agent.problems()[0].startswith("agent.toml:26: machine[0].bundle: pump.stethos: the bundle is for 'fan-box'")
    agent.replace(TRUST, TRUST + '\ndevice_class = "fan-box"')
    assert check(agent.config).machines


def test_an_expired_bundle_does_not_start_and_one_that_will_expire_warns(agent: AgentFolder) -> None:
    agent.bundle(energy_bundle(CONTRACT, expires=END))
    assert not any("expires" in each for each in warnings(agent, END_NS - 31 * DAY_NS))
    assert (
        f"agent.toml:26: machine[0].bundle: pump.stethos: the bundle expires in 1 days, at {END}; ask its supplier for a new one"
        in warnings(agent, END_NS - DAY_NS)
    )
    assert any("is not checked: this box's clock is not synchronised" in each for each in warnings(agent, None))
    with pytest.raises(ConfigError, match=f"expired at {END}"):
        check(agent.config, now=lambda: END_NS)


def test_an_older_release_than_the_box_has_run_does_not_start(agent: AgentFolder) -> None:
    agent.bundle(energy_bundle(CONTRACT, counter=4))
    remembers(agent, Memory().ran(manifest(agent)))
    assert check(agent.config).trust.memory.highest("pump") == 4
    agent.bundle(energy_bundle(CONTRACT, counter=3))
    assert "is release 3, and this box has run release 4" in agent.problems()[0]


def test_a_replay_of_old_recordings_asks_the_same(agent: AgentFolder) -> None:
    agent.bundle(energy_bundle(CONTRACT, counter=3))
    assert check_for_replay(agent.config).machines
    remembers(agent, Memory(counters={"pump": 4}))
    with pytest.raises(ConfigError, match="this box has run release 4"):
        check_for_replay(agent.config)


def test_a_damaged_memory_stops_the_start_since_it_might_hide_a_downgrade(agent: AgentFolder) -> None:
    remembers(agent, Memory(counters={"pump": 4}))
    file = agent.folder / "state" / memory.FILE
    file.write_bytes(file.read_bytes().replace(b'"pump":4', b'"pump":1'))
    (found,) = agent.problems()
    assert found == (
        "agent.toml:4: agent.state: state/trust.json: what this box remembers of releases and roots cannot be used: its bytes do not "
        "give its hash; restore trust.json in the state folder, or remove it to begin anew, with older releases taken again"
    )


@pytest.mark.parametrize("damage", [lambda data: data[:20], lambda _: b"", None], ids=["torn", "empty", "a folder"])
def test_a_damaged_memory_has_a_copy_and_what_is_older_stays_refused(
    agent: AgentFolder, damage: Callable[[bytes], bytes] | None
) -> None:
    agent.bundle(energy_bundle(CONTRACT, counter=3))
    remembers(agent, Memory(counters={"pump": 4}))
    file = agent.folder / "state" / memory.FILE
    sound = file.read_bytes()
    file.with_name(f"{memory.FILE}{COPY}").write_bytes(sound)
    if damage is None:
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes(damage(sound))
    (found,) = agent.problems()
    assert "this box has run release 4" in found
    with running_store(agent.folder / "state", 3) as store:
        assert store.damaged() == [memory.FILE]
        assert store.memory().counters == {"pump": 4}
    assert file.read_bytes() == sound
    file.with_name(f"{memory.FILE}{COPY}").write_bytes(b"")
    assert "this box has run release 4" in agent.problems()[0]
    file.write_bytes(b"")
    assert "cannot be used" in agent.problems()[0]


def test_a_memory_that_cannot_be_read_is_warned_of_by_others_and_stops_the_agents_own_user(
    agent: AgentFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    remembers(agent, Memory(counters={"pump": 4}))
    real = Path.open

    def denied(path: Path, *arguments: Any, **more: Any) -> Any:
        if path.name == memory.FILE:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *arguments, **more)

    monkeypatch.setattr(Path, "open", denied)
    assert "cannot be used: Permission denied" in agent.problems()[0]
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    assert any("so older releases and roots are not recognised" in each for each in warnings(agent))


def test_an_encrypted_bundle_runs_where_the_key_is(agent: AgentFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    agent.bundle(energy_bundle(CONTRACT, encrypt_with=SECRET))
    name = encryption.describe(SECRET).key_id
    assert f"the bundle is encrypted with key {name}; set [trust] decryption_key" in agent.problems()[0]
    (agent.folder / "models").write_text(SECRET.hex())
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(agent.folder))
    agent.replace(TRUST, TRUST + '\ndecryption_key = { credential = "models" }')
    assert check(agent.config).machines
    (agent.folder / "models").write_text(SECRET.hex()[::-1])
    assert f"the bundle is encrypted with key {name}, [trust] decryption_key is" in agent.problems()[0]


# A root file in the place of keys.


def with_root(agent: AgentFolder, data: bytes, more: str = "") -> None:
    (agent.folder / "plant.root").write_bytes(data)
    if TRUST in agent.text:
        agent.replace(TRUST, 'root = "plant.root"' + more)


def test_a_root_file_says_whose_bundles_run(agent: AgentFolder) -> None:
    with_root(agent, first(KEY))
    trust = check(agent.config).trust.trust
    assert trust.chain is not None
    assert (trust.chain.newest.version, trust.threshold) == (1, 1)
    with_root(agent, first(ANNE))
    assert "no trusted key signed this bundle" in agent.problems()[0]


def test_keys_beside_a_root_file_are_a_mistake(agent: AgentFolder) -> None:
    with_root(agent, first(KEY), "\nthreshold = 1")
    assert agent.problems() == [
        "agent.toml:12: trust.root: the root file says which keys sign, and how many (leave out keys and threshold)"
    ]
    agent.replace("threshold = 1", TRUST)
    assert "leave out keys and threshold" in agent.problems()[0]


def test_a_root_that_came_over_the_air_outlives_the_older_file_of_the_configuration(agent: AgentFolder) -> None:
    agent.bundle(energy_bundle(CONTRACT, key=BEN))
    held = exchanged(first(KEY), KEY, BEN)
    remembers(agent, Memory().rotated(read_chain(held)))
    with_root(agent, first(KEY))
    trust = check(agent.config).trust.trust
    assert trust.chain is not None
    assert trust.chain.newest.version == 2


def test_a_newer_root_file_is_followed(agent: AgentFolder) -> None:
    agent.bundle(energy_bundle(CONTRACT, key=BEN))
    remembers(agent, Memory().rotated(read_chain(first(KEY))))
    with_root(agent, exchanged(first(KEY), KEY, BEN))
    assert check(agent.config).trust.trust.chain.newest.version == 2


def test_a_root_file_that_does_not_follow_from_what_the_box_holds_stops_the_start(agent: AgentFolder) -> None:
    remembers(agent, Memory().rotated(read_chain(first(KEY))))
    with_root(agent, first(EVE))
    assert agent.problems()[0].startswith(
        "agent.toml:12: trust.root: plant.root: the root file does not follow from version 1, which this box holds"
    )


def test_an_expired_root_stops_the_start(agent: AgentFolder) -> None:
    with_root(agent, first(KEY, expires=END))
    assert any("root version 1 expires in 1 days" in each for each in warnings(agent, END_NS - DAY_NS))
    with pytest.raises(ConfigError, match=f"root version 1 expired at {END}"):
        check(agent.config, now=lambda: END_NS)
