"""Attack stories of encrypted models: somebody is after one, or exchanges it before it is signed."""

from __future__ import annotations

import base64

import pytest

from agent.errors import BundleError
from agent.infer import encryption
from agent.infer.bundle import Bundle, open_bundle, pack
from agent.infer.manifest import read_manifest
from tests.harness.attacks import flipped
from tests.harness.bundles import KEY, PUBLIC, encrypted_entries, full_entries

SECRET, OTHER_SECRET = bytes(range(32)), bytes(range(1, 33))


def opened(parts: dict[str, bytes], key: bytes | None) -> Bundle:
    return open_bundle(pack(parts, [KEY]), [PUBLIC], decryption_key=key)


def test_the_box_with_the_key_reads_the_model_and_nobody_else() -> None:
    parts, plain = encrypted_entries(SECRET), full_entries()
    found = opened(parts, SECRET)
    assert (found.model, found.variants["fp16"]) == (plain["model.onnx"], plain["model.fp16.onnx"])
    assert found.engines["sm86"] == plain["engine.sm86.rtx"]
    for name in ("model.onnx", "model.fp16.onnx", "model.int8.onnx", "engine.sm86.rtx", "engine.sm120.rtx"):
        assert len(parts[name]) == len(plain[name]) + 28
        assert plain[name][:32] not in parts[name]
    assert parts["golden.npz"] == plain["golden.npz"]


def test_the_box_has_no_key_or_another_one() -> None:
    name = encryption.describe(SECRET).key_id
    with pytest.raises(BundleError, match=f"encrypted with key {name}; set .trust. decryption_key"):
        opened(encrypted_entries(SECRET), None)
    with pytest.raises(
        BundleError, match=f"with key {name}, .trust. decryption_key is {encryption.describe(OTHER_SECRET).key_id}"
    ):
        opened(encrypted_entries(SECRET), OTHER_SECRET)


def test_the_model_was_encrypted_with_another_key_than_the_manifest_says() -> None:
    parts, other = encrypted_entries(SECRET), encrypted_entries(OTHER_SECRET)
    with pytest.raises(BundleError, match=r"model\.onnx does not decrypt as this entry of this bundle"):
        opened(parts | {"model.onnx": other["model.onnx"]}, SECRET)


def test_two_encrypted_entries_are_signed_under_each_others_names() -> None:
    parts = encrypted_entries(SECRET)
    parts["model.onnx"], parts["model.int8.onnx"] = parts["model.int8.onnx"], parts["model.onnx"]
    with pytest.raises(BundleError, match=r"model\.(int8\.)?onnx does not decrypt as this entry of this bundle"):
        opened(parts, SECRET)


@pytest.mark.parametrize("change", [{"name": "other"}, {"version": "0.9.0"}, {"counter": 7}])
def test_the_encrypted_model_of_another_bundle_is_put_in_by_whoever_signs(change: dict[str, object]) -> None:
    other = encrypted_entries(SECRET, **change)
    with pytest.raises(BundleError, match="does not decrypt as this entry of this bundle"):
        opened(encrypted_entries(SECRET) | {"model.onnx": other["model.onnx"]}, SECRET)


@pytest.mark.parametrize("place", [0, 11, 12, -17, -16, -1])
def test_a_bit_of_nonce_ciphertext_or_tag_flips_before_signing(place: int) -> None:
    parts = encrypted_entries(SECRET)
    parts["model.onnx"] = flipped(parts["model.onnx"], place % len(parts["model.onnx"]))
    with pytest.raises(BundleError, match=r"model\.onnx does not decrypt"):
        opened(parts, SECRET)


def test_an_entry_is_too_short_to_be_encrypted() -> None:
    with pytest.raises(BundleError, match=r"engine\.sm86\.rtx is too short"):
        opened(encrypted_entries(SECRET) | {"engine.sm86.rtx": bytes(27)}, SECRET)
    with pytest.raises(BundleError, match=r"engine\.sm86\.rtx does not decrypt"):
        opened(encrypted_entries(SECRET) | {"engine.sm86.rtx": bytes(28)}, SECRET)


def test_the_same_model_never_encrypts_to_the_same_bytes() -> None:
    assert encrypted_entries(SECRET)["model.onnx"] != encrypted_entries(SECRET)["model.onnx"]


def test_a_supplier_cannot_encrypt_under_a_key_that_the_manifest_does_not_name() -> None:
    parts = full_entries(encryption=encryption.describe(OTHER_SECRET))
    with pytest.raises(ValueError, match="another encryption key"):
        encryption.encrypt(parts, SECRET, read_manifest(parts["manifest.json"]))


def test_a_key_for_bundles_that_are_not_encrypted_changes_nothing() -> None:
    assert opened(full_entries(), SECRET).model == opened(full_entries(), None).model


def test_a_key_keeps_its_name() -> None:
    assert encryption.describe(bytes(32)).key_id == "81ec4c1c7b50a2d1"


def test_a_key_is_64_hex_digits_and_is_never_repeated() -> None:
    assert encryption.parse_key(f" {SECRET.hex()}\n") == SECRET
    assert len(encryption.new_key()) == encryption.KEY_BYTES
    for text in ("", SECRET.hex()[:-2], SECRET.hex() + "00", "g" * 64, base64.b64encode(SECRET).decode()):
        with pytest.raises(ValueError, match="64 hex digits") as caught:
            encryption.parse_key(text)
        assert text == "" or text not in str(caught.value)
