"""The bundles that a configuration names: read, trusted and proven, or refused with the reason; one file is one session."""

from __future__ import annotations

import io
import zipfile

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.config.check import check
from tests.harness.agent_folder import CONTRACT, AgentFolder, Spoil, energy_bundle, energy_model

ONE_PROBLEM: dict[str, tuple[Spoil, str]] = {
    # bundles
    "missing bundle": (
        lambda a: a.replace("pump.stethos", "pmup.stethos"),
        "agent.toml:26: machine[0].bundle: cannot read pmup.stethos: No such file or directory (check the path, or create the file)",
    ),
    "no key": (
        lambda a: a.replace('["release.pub"]', "[]"),
        "agent.toml:12: trust.keys: no key is trusted, so no bundle may run (add the .pub file of whoever signs bundles, or a root file)",
    ),
    "missing key": (
        lambda a: (a.folder / "release.pub").unlink(),
        "agent.toml:12: trust.keys[0]: cannot read release.pub: No such file or directory (check the path, or create the file)",
    ),
}


@pytest.mark.parametrize(("spoil", "expected"), ONE_PROBLEM.values(), ids=ONE_PROBLEM)
def test_a_mistake_has_its_own_message_at_its_own_line(agent: AgentFolder, spoil: Spoil, expected: str) -> None:
    spoil(agent)
    assert agent.problems() == [expected]


def flipped(data: bytes, at: bytes) -> bytes:
    place = data.index(at)
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def exchanged(bundle: bytes) -> bytes:
    """The zip made anew, intact, around another model under the old signature."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(bundle)) as old, zipfile.ZipFile(result, "w") as new:
        for name in old.namelist():
            new.writestr(name, energy_model(3, 64) if name == "model.onnx" else old.read(name))
    return result.getvalue()


@pytest.mark.parametrize(
    ("spoil", "where", "what"),
    [
        (
            lambda a: (a.folder / "release.pub").write_text("x"),
            "agent.toml:12: trust.keys[0]: release.pub: ",
            "no public key in PEM form",
        ),
        (lambda a: a.bundle(b"PK"), "agent.toml:26: machine[0].bundle: pump.stethos: ", "zip file"),
        (
            lambda a: a.bundle(energy_bundle(CONTRACT, key=Ed25519PrivateKey.generate())),
            "agent.toml:26: machine[0].bundle: pump.stethos: ",
            "no trusted key signed this bundle",
        ),
        (
            lambda a: a.bundle(flipped(energy_bundle(CONTRACT), b"energy")),
            "agent.toml:26: machine[0].bundle: pump.stethos: ",
            "zip file",
        ),
        (
            lambda a: a.bundle(exchanged(energy_bundle(CONTRACT))),
            "agent.toml:26: machine[0].bundle: pump.stethos: ",
            "model.onnx is not what was signed",
        ),
        (
            lambda a: a.bundle(energy_bundle(CONTRACT, golden_error=0.1)),
            "agent.toml:26: machine[0].bundle: pump.stethos: ",
            "misses its golden vectors",
        ),
        (
            lambda a: a.replace("[trust]", '[inference]\ndevice = "tensorrt"\nrequired = true\n[trust]'),
            "agent.toml:12: inference.device: for pump.stethos: ",
            "requires TensorrtExecutionProvider",
        ),
    ],
)
def test_a_bundle_that_may_not_run_is_refused_with_its_reason(
    agent: AgentFolder, spoil: Spoil, where: str, what: str
) -> None:
    spoil(agent)
    [problem] = agent.problems()
    assert problem.startswith(where)
    assert what in problem


def test_machines_with_one_model_share_its_session(agent: AgentFolder) -> None:
    agent.bundle((agent.folder / "pump.stethos").read_bytes(), "copy.stethos")
    machine = agent.text[agent.text.index("[[machine]]") :]
    agent.text += machine.replace("pump-1", "pump-2") + machine.replace("pump-1", "pump-3").replace("pump.", "copy.")
    agent.write()
    machines = check(agent.config).machines
    assert machines["pump-1"].session is machines["pump-2"].session is machines["pump-3"].session
