"""`stethos bundle` in the hands of a release team: keys, signatures by several people, roots, encryption; and what each refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.infer.bundle import open_bundle, pack
from agent.infer.encryption import describe, parse_key
from agent.infer.keys import private_key, public_key
from tests.harness.bundles import KEY, PUBLIC, encrypted_entries, entries, full_entries, manifest, tiny_bundle
from tests.harness.command_line import stethos


def fine(*arguments: object) -> str:
    result = stethos(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the keys of Anne, Ben and Carla."""
    monkeypatch.chdir(tmp_path)
    for name in ("anne", "ben", "carla"):
        fine("bundle", "keygen", name)
    return tmp_path


def key_id_of(name: str) -> str:
    from agent.infer.keys import key_id

    return key_id(public_key(Path(f"{name}.pub").read_bytes(), name))


def unsigned() -> Path:
    """A bundle that nobody has signed."""
    Path("pump.stethos").write_bytes(pack(entries(), []))
    return Path("pump.stethos")


def test_a_key_pair_is_made_and_never_replaced(team: Path) -> None:
    private, public = Path("anne.key"), Path("anne.pub")
    assert private.stat().st_mode & 0o777 == 0o600
    made = private_key(private.read_bytes(), "x").public_key()
    assert made == public_key(public.read_bytes(), "x")
    before = private.read_bytes()
    result = stethos("bundle", "keygen", "anne")
    assert result.exit_code == 2
    assert "anne.key: cannot be written: File exists (choose another name)" in result.output
    assert private.read_bytes() == before


def test_a_decryption_key_is_made_for_its_owner_alone(team: Path) -> None:
    told = fine("bundle", "keygen", "models", "--decryption")
    key = parse_key(Path("models.aes").read_text())
    assert Path("models.aes").stat().st_mode & 0o777 == 0o600
    assert f"decryption key {describe(key).key_id}" in told
    assert not Path("models.key").exists()


def test_two_people_sign_on_two_machines_and_the_box_wants_both(team: Path) -> None:
    file = unsigned()
    assert "signed by " + key_id_of("anne") in fine("bundle", "sign", file, "--key", "anne.key")
    one = stethos("bundle", "verify", file, "--key", "anne.pub", "--key", "ben.pub", "--threshold", 2)
    assert one.exit_code == 1
    assert "1 of the 2 trusted keys that must have signed this bundle" in one.output
    fine("bundle", "sign", file, "--key", "ben.key", "--out", "released.stethos")
    told = fine("bundle", "verify", "released.stethos", "--key", "anne.pub", "--key", "ben.pub", "--threshold", 2)
    assert f"released.stethos: signed by {key_id_of('anne')}, {key_id_of('ben')}, all digests hold" in told
    assert "4 golden windows agree on CPUExecutionProvider" in told
    assert stethos("bundle", "verify", file, "--key", "ben.pub").exit_code == 1


def test_signing_into_a_new_file_replaces_none(team: Path) -> None:
    file = unsigned()
    Path("there.stethos").write_bytes(b"other")
    result = stethos("bundle", "sign", file, "--key", "anne.key", "--out", "there.stethos")
    assert result.exit_code == 2
    assert Path("there.stethos").read_bytes() == b"other"


def test_nobody_signs_what_is_not_what_it_says(team: Path) -> None:
    file = unsigned()
    file.write_bytes(file.read_bytes()[:-1])
    before = file.read_bytes()
    result = stethos("bundle", "sign", file, "--key", "anne.key")
    assert result.exit_code == 1
    assert "is cut short" in result.output
    assert file.read_bytes() == before


def test_a_bundle_is_shown_with_what_it_claims(team: Path) -> None:
    secret = bytes(32)
    data = pack(encrypted_entries(secret, expires="2027-06-30T00:00:00Z", device_classes=["pump-box"]), [KEY])
    Path("pump.stethos").write_bytes(data)
    told = fine("bundle", "show", "pump.stethos")
    assert "tiny 1.0.0 (release 1), signature not checked" in told
    assert f"encrypted    AES-256-GCM, key {describe(secret).key_id}" in told
    assert "expires      2027-06-30T00:00:00Z" in told
    assert "only for     pump-box" in told
    assert "engine.sm86.rtx 42 bytes" in told
    Path("pump.stethos").write_bytes(tiny_bundle())
    assert json.loads(fine("bundle", "show", "pump.stethos", "--json"))["name"] == manifest().name
    Path("pump.stethos").write_bytes(pack(entries(), []))
    assert "to be signed by nobody" in fine("bundle", "show", "pump.stethos")


def test_an_encrypted_bundle_is_verified_with_its_key(team: Path) -> None:
    fine("bundle", "keygen", "models", "--decryption")
    secret = parse_key(Path("models.aes").read_text())
    Path("pump.stethos").write_bytes(pack(encrypted_entries(secret), [private_key(Path("anne.key").read_bytes(), "x")]))
    assert stethos("bundle", "verify", "pump.stethos", "--key", "anne.pub").exit_code == 1
    fine("bundle", "verify", "pump.stethos", "--key", "anne.pub", "--decryption-key", "models.aes")
    wrong = stethos("bundle", "verify", "pump.stethos", "--key", "anne.pub", "--decryption-key", "anne.pub")
    assert (wrong.exit_code, "anne.pub: a decryption key is 64 hex digits" in wrong.output) == (2, True)


def test_an_expired_bundle_is_told_apart_where_the_clock_can_be_believed(
    team: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("pump.stethos").write_bytes(
        pack(full_entries(expires="2001-01-01T00:00:00Z"), [private_key(Path("anne.key").read_bytes(), "x")])
    )
    monkeypatch.setattr("agent.timesync.trusted_now_ns", lambda: 1_800_000_000 * 10**9)
    late = stethos("bundle", "verify", "pump.stethos", "--key", "anne.pub")
    assert (late.exit_code, "the bundle expired at 2001-01-01" in late.output) == (1, True)
    monkeypatch.setattr("agent.timesync.trusted_now_ns", lambda: None)
    assert "this box's clock is not synchronised" in fine("bundle", "verify", "pump.stethos", "--key", "anne.pub")


@pytest.mark.parametrize(
    "options",
    [[], ["--key", "anne.pub", "--root", "plant.root"], ["--root", "plant.root", "--threshold", 1]],
)
def test_whom_to_trust_is_said_in_one_way(team: Path, options: list[object]) -> None:
    result = stethos("bundle", "verify", unsigned(), *options)
    assert result.exit_code == 2
    assert "give either --key, with --threshold if you like, or --root" in result.output


def test_a_file_that_is_not_there_is_named() -> None:
    result = stethos("bundle", "show", "none.stethos")
    assert (result.exit_code, "none.stethos: cannot be read: No such file" in result.output) == (2, True)


def test_a_root_is_made_signed_and_handed_over_to_other_keys(team: Path) -> None:
    begun = ["bundle", "root", "new", "plant.root", "--key", "anne.pub", "--key", "ben.pub", "--threshold", 2]
    assert "version 1 is signed by 0 of the 2 keys" in fine(*begun)
    assert stethos("bundle", "root", "show", "plant.root").exit_code == 1
    assert "signed by 1 of the 2 keys" in fine("bundle", "root", "sign", "plant.root", "--key", "anne.key")
    assert "plant.root: version 1, complete" in fine("bundle", "root", "sign", "plant.root", "--key", "ben.key")

    file = unsigned()
    fine("bundle", "sign", file, "--key", "anne.key", "--key", "ben.key")
    fine("bundle", "verify", file, "--root", "plant.root")

    change = ["bundle", "root", "change", "plant.root", "--add", "carla.pub", "--remove", key_id_of("anne")]
    told = fine(*change, "--expires", "2099-01-01T00:00:00Z")
    assert "root version 2 is signed by 0 of the 2 keys of root version 1 that must have" in told
    unfinished = stethos("bundle", "verify", file, "--root", "plant.root")
    assert (unfinished.exit_code, "root version 2 in the name of root version 1" in unfinished.output) == (1, True)
    fine("bundle", "root", "sign", "plant.root", "--key", "anne.key", "--key", "ben.key")
    assert "complete" in fine("bundle", "root", "sign", "plant.root", "--key", "carla.key")

    refused = stethos("bundle", "verify", file, "--root", "plant.root")
    assert (refused.exit_code, "1 of the 2 trusted keys" in refused.output) == (1, True)
    fine("bundle", "sign", file, "--key", "carla.key")
    fine("bundle", "verify", file, "--root", "plant.root")

    found = json.loads(fine("bundle", "root", "show", "plant.root", "--json"))
    assert [each["version"] for each in found["versions"]] == [1, 2]
    assert found["versions"][1]["keys"] == [key_id_of("ben"), key_id_of("carla")]
    assert (found["versions"][1]["expires"], found["missing"]) == ("2099-01-01T00:00:00Z", [])


def test_a_change_keeps_the_expiry_unless_another_or_none_is_given(team: Path) -> None:
    when = "2099-01-01T00:00:00Z"
    fine("bundle", "root", "new", "plant.root", "--key", "anne.pub", "--expires", when)
    fine("bundle", "root", "sign", "plant.root", "--key", "anne.key")
    fine("bundle", "root", "change", "plant.root", "--add", "ben.pub")
    fine("bundle", "root", "sign", "plant.root", "--key", "anne.key")
    assert fine("bundle", "root", "show", "plant.root").count(f"expires {when}") == 2
    fine("bundle", "root", "change", "plant.root", "--add", "carla.pub", "--expires", "never")
    fine("bundle", "root", "sign", "plant.root", "--key", "anne.key")
    assert "expires never" in fine("bundle", "root", "show", "plant.root")


def test_a_root_is_never_begun_over_another(team: Path) -> None:
    fine("bundle", "root", "new", "plant.root", "--key", "anne.pub")
    before = Path("plant.root").read_bytes()
    assert stethos("bundle", "root", "new", "plant.root", "--key", "ben.pub").exit_code == 2
    assert stethos("bundle", "root", "sign", "plant.root", "--key", "ben.key").exit_code == 1
    assert Path("plant.root").read_bytes() == before


def test_a_file_in_a_folder_that_cannot_be_written_is_named(team: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = unsigned()
    Path(".pump.stethos.new").mkdir()
    result = stethos("bundle", "sign", file, "--key", "anne.key")
    assert (result.exit_code, "pump.stethos: cannot be written: Is a directory" in result.output) == (2, True)


def test_what_the_commands_sign_is_what_the_box_opens(team: Path) -> None:
    file = unsigned()
    fine("bundle", "sign", file, "--key", "anne.key")
    trusted = [public_key(Path("anne.pub").read_bytes(), "x")]
    assert open_bundle(file.read_bytes(), [PUBLIC, *trusted]).signers == (key_id_of("anne"),)
