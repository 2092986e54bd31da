"""`stethos model export` with all that a release may have, and `stethos model parity` of a run and of a bundle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result

from agent.errors import ConfigError
from agent.infer.bundle import open_bundle
from agent.infer.encryption import parse_key
from agent.infer.keys import public_key
from export.release import parse_expiry, parse_promise, parse_variants
from tests.harness.command_line import stethos
from tests.harness.datasets import write_dataset


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("supplier")
    write_dataset(folder)
    for name in ("release", "second"):
        assert stethos("bundle", "keygen", folder / name).exit_code == 0
    assert stethos("bundle", "keygen", "--decryption", folder / "secret").exit_code == 0
    options = ("--model", "dense-autoencoder", "--window", 16, "--hop", 2, "--out", folder / "run", "--epochs", 3)
    trained = stethos("model", "train", folder / "pump.toml", *options)
    assert trained.exit_code == 0, trained.output
    return folder


def export(folder: Path, version: str, *options: object) -> Result:
    key = ("--key", folder / "release.key")
    return stethos("model", "export", folder / "run", *key, "--out", folder, "--version", version, *options)


def keys(folder: Path, *names: str) -> list:
    return [public_key((folder / f"{name}.pub").read_bytes(), name) for name in names]


def test_everything_that_a_release_may_have(folder: Path) -> None:
    result = export(
        folder,
        "2.0.0",
        *("--key", folder / "second.key", "--variants", "fp16,int8", "--batch", 16, "--promise", "5 ms"),
        *("--expires", "2099-06-30", "--device-class", "line", "--device-class", "lab"),
        *("--encrypt-key", folder / "secret.aes"),
    )
    assert result.exit_code == 0, result.output
    assert "  fp16 " in result.output
    assert "  int8 " in result.output
    assert "promises one window in 5 ms" in result.output
    opened = open_bundle(
        (folder / "pump-2.0.0.stethos").read_bytes(),
        keys(folder, "release", "second"),
        threshold=2,
        decryption_key=parse_key((folder / "secret.aes").read_text()),
    )
    manifest = opened.manifest
    assert (manifest.expires, manifest.device_classes) == ("2099-06-30T00:00:00Z", ["line", "lab"])
    assert manifest.promise is not None
    assert manifest.promise.batch_1_ms == 5
    assert opened.parity is not None
    assert opened.parity.batch == 16
    assert set(opened.parity.verdicts) == {"fp16", "int8"}
    for form, verdict in opened.parity.verdicts.items():
        assert verdict.startswith("shipped" if form in opened.variants else "not shipped")


def test_parity_of_a_run_is_measured_here(folder: Path) -> None:
    result = stethos("model", "parity", folder / "run", "--out", folder / "parity.json", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [each["name"] for each in found["windows"]] == ["held-out", "test", "spoilt", "edge"]
    assert {each["form"] for each in found["comparisons"]} == {"fp32", "fp16", "int8"}
    assert json.loads((folder / "parity.json").read_text()) == found


def test_parity_of_a_bundle_is_shown_and_its_golden_vectors_repeated(folder: Path) -> None:
    assert export(folder, "1.0.0").exit_code == 0
    bundle = folder / "pump-1.0.0.stethos"
    result = stethos("model", "parity", bundle, "--key", folder / "release.pub")
    assert result.exit_code == 0, result.output
    assert "spoilt: 292 windows, held-out windows with synthetic anomalies" in result.output
    assert "golden windows agree here on" in result.output
    unbelieved = stethos("model", "parity", bundle)
    assert (unbelieved.exit_code, "give --key" in unbelieved.output) == (2, True)
    foreign = stethos("model", "parity", bundle, "--key", folder / "second.pub")
    assert foreign.exit_code == 1


def test_without_the_data_set_the_certificate_says_on_how_little_it_rests(folder: Path) -> None:
    data = folder / "pump.toml"
    moved = data.rename(folder / "elsewhere.toml")
    try:
        result = export(folder, "1.1.0")
        refused = export(folder, "1.2.0", "--variants", "fp16")
    finally:
        moved.rename(data)
    assert result.exit_code == 0, result.output
    assert "the certificate rests on 19 golden windows alone" in result.output
    assert (refused.exit_code, "not at hand" in refused.output) == (2, True)
    assert not (folder / "pump-1.2.0.stethos").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--variants", "int4"), "there is no variant 'int4' (take some of fp16, int8)"),
        (("--promise", "soon"), "'soon' is no duration"),
        (("--promise", "0 ms"), "no model takes no time"),
        (("--expires", "2027-02-30"), "--expires"),
        (("--expires", "tomorrow"), "write one like"),
        (("--encrypt-key", "pyproject.toml"), "a decryption key is 64 hex digits"),
    ],
)
def test_a_release_that_cannot_be_meant_is_refused(folder: Path, options: tuple[str, str], message: str) -> None:
    result = export(folder, "3.0.0", *options)
    assert (result.exit_code, message in result.output) == (2, True), result.output
    assert not (folder / "pump-3.0.0.stethos").exists()


def test_variants_dates_and_promises_are_read_as_people_write_them() -> None:
    assert parse_variants(" int8, fp16,int8") == ("fp16", "int8")
    assert parse_variants("") == ()
    assert parse_expiry("2027-06-30T12:00:00+02:00") == "2027-06-30T12:00:00+02:00"
    assert parse_expiry(None) is parse_promise(None) is None
    assert parse_promise("1s 500ms") == 1500
    with pytest.raises(ConfigError):
        parse_expiry("2027-6-30")
