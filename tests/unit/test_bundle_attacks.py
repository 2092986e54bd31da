"""Attack stories: what somebody does to a bundle on its way to the box, and how the box finds out. All from the bytes of real bundles."""

from __future__ import annotations

import base64
import io
import struct
import zipfile

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.errors import BundleError
from agent.infer import bundle as bundles
from agent.infer import dsse, encryption, statement
from agent.infer.bundle import Bundle, countersign, open_bundle, pack
from agent.infer.keys import key_id
from agent.infer.manifest import read_manifest
from tests.harness.bundles import (
    KEY,
    OTHER_KEY,
    PUBLIC,
    encrypted_entries,
    entries,
    full_entries,
    golden,
    manifest,
    tiny_bundle,
)
from tests.harness.zips import unzipped, zipped

SECRET, OTHER_SECRET = bytes(range(32)), bytes(range(1, 33))
BOTH = [PUBLIC, OTHER_KEY.public_key()]
END_BYTES = 22


def refused(data: bytes, message: str, **how: object) -> None:
    with pytest.raises(BundleError, match=message):
        open_bundle(data, **({"trusted": [PUBLIC]} | how))


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


# A bit flips.


@pytest.mark.parametrize("name", [*full_entries(), "signature.json"])
def test_a_bit_flips_in_an_entry_and_the_zip_is_made_anew_around_it(name: str) -> None:
    parts = unzipped(pack(full_entries(), [KEY]))
    parts[name] = flipped(parts[name], len(parts[name]) // 2)
    refused(
        zipped(parts.items()), f"{name} is not what was signed" if name != "signature.json" else "signature|trusted"
    )


def test_a_bit_flips_on_a_bad_disk() -> None:
    data = tiny_bundle()
    refused(flipped(data, data.index(b"channel_score")), "no intact zip file: Bad CRC-32")


def test_the_file_is_cut_short_on_its_way() -> None:
    data = tiny_bundle()
    for kept in (0, 1, 4, len(data) // 3, len(data) - END_BYTES, len(data) - 1):
        refused(data[:kept], "^the bundle is cut short")


def test_a_script_is_put_before_the_zip_and_bytes_behind_it() -> None:
    refused(b"#!/bin/sh\n" + tiny_bundle(), "is cut short")
    refused(tiny_bundle() + b"\0", "is cut short")


# Entries change places.


def test_the_manifest_of_another_release_that_was_signed_too_is_put_in() -> None:
    parts, other = unzipped(tiny_bundle()), unzipped(tiny_bundle(version="2.0.0"))
    refused(zipped((parts | {"manifest.json": other["manifest.json"]}).items()), "manifest.json is not what was signed")


def test_two_entries_change_places() -> None:
    parts = unzipped(pack(full_entries(), [KEY]))
    parts["engine.sm86.rtx"], parts["engine.sm120.rtx"] = parts["engine.sm120.rtx"], parts["engine.sm86.rtx"]
    refused(zipped(parts.items()), "engine.sm120.rtx is not what was signed")


def test_an_entry_that_was_signed_is_left_out() -> None:
    parts = unzipped(pack(full_entries(), [KEY]))
    del parts["parity.json"]
    refused(zipped(parts.items()), "the signature covers .*parity.json")
    del parts["golden.npz"]
    refused(zipped(parts.items()), "lacks golden.npz")


def test_an_engine_that_nobody_signed_is_added() -> None:
    refused(
        zipped([*unzipped(tiny_bundle()).items(), ("engine.sm89.rtx", b"evil")]), "the signature covers .*, not .*sm89"
    )


def test_a_signature_that_leaves_the_model_out_is_made_by_the_right_key() -> None:
    parts = entries()
    told = statement.encode({name: parts[name] for name in ("manifest.json", "golden.npz")})
    signature = dsse.sign(statement.PAYLOAD_TYPE, told, [KEY])
    refused(zipped([*parts.items(), ("signature.json", signature)]), "the signature covers")


def test_a_request_that_the_same_key_signed_is_put_in_the_place_of_a_statement() -> None:
    signature = dsse.sign("application/vnd.stethos.request+json", statement.encode(entries()), [KEY])
    refused(zipped([*entries().items(), ("signature.json", signature)]), "signs application/vnd.stethos.request")


# The zip itself is hostile.


def test_a_zip_bomb_is_refused_before_a_byte_of_it_is_unpacked() -> None:
    bomb = unzipped(tiny_bundle()) | {"model.onnx": bytes(50_000_000)}
    refused(zipped(bomb.items(), zipfile.ZIP_DEFLATED), "is compressed")


def test_a_zip_bomb_lies_about_its_compression() -> None:
    data = bytearray(zipped((unzipped(tiny_bundle()) | {"model.onnx": bytes(5_000_000)}).items(), zipfile.ZIP_DEFLATED))
    at = struct.unpack_from("<L", data, len(data) - 6)[0]
    while at >= 0:
        data[at + 10 : at + 12] = struct.pack("<H", zipfile.ZIP_STORED)
        at = data.find(b"PK\x01\x02", at + 1)
    refused(bytes(data), "is compressed")


def test_a_directory_of_a_million_entries_is_refused_before_it_is_read() -> None:
    data = tiny_bundle()
    end = data[-END_BYTES:]
    directory = struct.unpack_from("<L", end, 16)[0]
    grown = data[directory:-END_BYTES] * 1_000
    forged = data[:directory] + grown + end[:12] + struct.pack("<L", len(grown)) + end[16:]
    refused(forged, "^the bundle's directory does not end where the file does, or is too long")


def test_the_directory_is_said_to_lie_elsewhere() -> None:
    data = bytearray(tiny_bundle())
    data[-10] ^= 1
    refused(bytes(data), "directory does not end where the file does")


def test_entries_share_their_bytes_so_that_they_take_more_memory_than_the_file() -> None:
    data = bytearray(pack(full_entries(), [KEY]))
    at = struct.unpack_from("<L", data, len(data) - 6)[0]
    local = struct.unpack_from("<L", data, at + 42)[0]
    for _ in range(2):
        struct.pack_into("<LL", data, at + 20, len(data), len(data))
        struct.pack_into("<L", data, at + 42, local)
        at = data.index(b"PK\x01\x02", at + 1)
    refused(bytes(data), "^the bundle's entries have more bytes than the bundle")


@pytest.mark.parametrize(
    "name",
    [
        "extra.bin",
        "../model.onnx",
        "/etc/passwd",
        "model.onnx/",
        "MODEL.ONNX",
        "a\\b",
        "model.fp64.onnx",
        "engine.sm09.rtx",
    ],
)
def test_an_entry_would_lead_out_of_the_folder_or_has_no_business_here(name: str) -> None:
    refused(zipped([*unzipped(tiny_bundle()).items(), (name, b"x")]), "no part of a bundle")


def test_a_second_model_of_the_same_name_hides_behind_the_first() -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        data = zipped([*unzipped(tiny_bundle()).items(), ("model.onnx", b"evil")])
    refused(data, "model.onnx twice")


@pytest.mark.parametrize(
    ("name", "limit"),
    [("signature.json", 65_536), ("manifest.json", 4 << 20), ("parity.json", 1 << 20), ("golden.npz", 64 << 20)],
)
def test_an_entry_declares_more_than_its_reader_should_take(name: str, limit: int) -> None:
    refused(
        zipped((unzipped(tiny_bundle()) | {name: bytes(limit + 1)}).items()),
        f"{name} has {limit + 1} bytes, more than {limit}",
    )


def test_an_entry_is_locked_with_a_password_of_zip() -> None:
    data = bytearray(tiny_bundle())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    refused(bytes(data), "is encrypted by zip")


def test_a_file_that_is_too_large_is_not_even_looked_at() -> None:
    data = tiny_bundle()
    refused(data, f"more than the {len(data) - 1} bytes", max_bytes=len(data) - 1)
    assert open_bundle(data, [PUBLIC], max_bytes=len(data)).manifest == manifest()


def test_golden_vectors_would_unpack_to_a_thousand_times_their_size() -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, windows=np.zeros((4, 3, 1_000_000), np.float32), score=golden().score)
    refused(pack(entries(golden=buffer.getvalue()), [KEY]), "channel_score.npy")
    np.savez_compressed(
        buffer := io.BytesIO(),
        windows=np.zeros((4, 3, 1_000_000), np.float32),
        score=golden().score,
        channel_score=golden().channel_score,
    )
    refused(pack(entries(golden=buffer.getvalue()), [KEY]), "windows has 48000128 bytes, more than float32 .* needs")


def test_a_header_of_golden_vectors_announces_more_than_there_is_memory() -> None:
    headers = {"windows": (10**9, 10**9, 10**9), "score": (4,), "channel_score": (4, 3)}
    parts = []
    for name, shape in headers.items():
        np.lib.format.write_array_header_1_0(
            file := io.BytesIO(), {"descr": "<f4", "fortran_order": False, "shape": shape}
        )
        parts.append((f"{name}.npy", file.getvalue()))
    refused(pack(entries(golden=zipped(parts)), [KEY]), "windows must be finite float32")


def test_the_manifest_announces_more_golden_values_than_there_is_memory() -> None:
    many = msgspec.structs.replace(manifest().golden, windows=10**12)
    refused(
        pack(entries(manifest=msgspec.json.encode(manifest(golden=many))), [KEY]), "where 1 to 16777216 values may be"
    )


# The signature is not whose it should be.


def test_the_signature_is_no_envelope() -> None:
    parts = unzipped(tiny_bundle()) | {"signature.json": b"trust me"}
    refused(zipped(parts.items()), r"^signature\.json is no DSSE envelope")
    with pytest.raises(BundleError, match=r"^signature\.json is no DSSE envelope"):
        countersign(zipped(parts.items()), [KEY])


def test_nobody_signed_it() -> None:
    refused(zipped(entries().items()), "not signed")
    refused(pack(entries(), []), "no trusted key signed this bundle: it claims nobody")


def test_a_stranger_signed_it() -> None:
    refused(
        pack(entries(), [OTHER_KEY]), f"no trusted key signed this bundle: it claims {key_id(OTHER_KEY.public_key())}"
    )


def test_a_stranger_signed_it_and_claims_to_be_trusted() -> None:
    parts = unzipped(pack(entries(), [OTHER_KEY]))
    envelope = msgspec.json.decode(parts["signature.json"])
    envelope["signatures"][0]["keyid"] = key_id(PUBLIC)
    parts["signature.json"] = msgspec.json.encode(envelope)
    refused(zipped(parts.items()), f"no trusted key signed this bundle: it claims {key_id(PUBLIC)}")


def test_two_must_sign_and_one_did() -> None:
    message = "1 of the 2 trusted keys that must have signed this bundle"
    refused(pack(entries(), [KEY]), message, trusted=BOTH, threshold=2)
    signed = countersign(pack(entries(), [KEY]), [OTHER_KEY])
    assert open_bundle(signed, BOTH, threshold=2).signers == tuple(map(key_id, BOTH))


def test_two_must_sign_and_one_did_so_twice() -> None:
    parts = unzipped(pack(entries(), [KEY]))
    envelope = msgspec.json.decode(parts["signature.json"])
    again = envelope["signatures"][0] | {"keyid": key_id(OTHER_KEY.public_key())}
    parts["signature.json"] = msgspec.json.encode(envelope | {"signatures": [*envelope["signatures"], again]})
    refused(zipped(parts.items()), "1 of the 2 trusted keys", trusted=BOTH, threshold=2)


def test_two_must_sign_and_the_operator_listed_one_key_twice() -> None:
    refused(pack(entries(), [KEY]), "1 of the 2 trusted keys", trusted=[PUBLIC, PUBLIC], threshold=2)


def test_two_must_sign_and_the_other_one_is_a_stranger() -> None:
    stranger = Ed25519PrivateKey.generate()
    refused(pack(entries(), [KEY, stranger]), "1 of the 2 trusted keys", trusted=BOTH, threshold=2)


def test_a_signature_of_another_bundle_is_added() -> None:
    parts, other = unzipped(pack(entries(), [KEY])), unzipped(tiny_bundle(version="2.0.0"))
    envelope, borrowed = (msgspec.json.decode(each["signature.json"]) for each in (parts, other))
    envelope["signatures"] = borrowed["signatures"]
    parts["signature.json"] = msgspec.json.encode(envelope)
    refused(zipped(parts.items()), "no trusted key")


def test_nothing_is_parsed_before_the_signature_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    def parsed(*_: object) -> None:
        pytest.fail("an entry was parsed before its signature was verified")

    for reader in ("read_manifest", "read_golden", "check_graph", "decrypt", "certificate"):
        monkeypatch.setattr(bundles, reader, parsed)
    monkeypatch.setattr(statement, "decode", parsed)
    refused(pack(full_entries(), [OTHER_KEY]), "no trusted key")


def test_no_entry_is_parsed_before_its_digest_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    def parsed(*_: object) -> None:
        pytest.fail("an entry was parsed before its digest was verified")

    for reader in ("read_manifest", "read_golden", "check_graph", "decrypt", "certificate"):
        monkeypatch.setattr(bundles, reader, parsed)
    parts = unzipped(tiny_bundle()) | {"model.onnx": b"{}"}
    refused(zipped(parts.items()), "model.onnx is not what was signed")


# Somebody is after the encrypted model, or exchanges it.


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
