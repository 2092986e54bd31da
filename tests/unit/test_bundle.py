"""The bundle as an attacker and a bad disk would have it."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterable

import msgspec
import numpy as np
import pytest

from agent.decide.baseline import Baseline
from agent.errors import BundleError
from agent.infer import bundle as bundles
from agent.infer import dsse
from agent.infer.bundle import GoldenVectors, golden_bytes, open_bundle, pack, unverified_manifest
from agent.infer.keys import key_id
from tests.harness.bundles import KEY, OTHER_KEY, PUBLIC, energy_model, entries, golden, manifest, tiny_bundle


def zipped(items: Iterable[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in items:
            archive.writestr(name, data)
    return buffer.getvalue()


def unzipped(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def refused(data: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        open_bundle(data, [PUBLIC])


def test_a_signed_bundle_opens() -> None:
    data = tiny_bundle()
    opened = open_bundle(data, [PUBLIC])
    assert opened.manifest == manifest()
    assert opened.model == energy_model()
    np.testing.assert_array_equal(opened.golden.windows, golden().windows)
    assert opened.digest == hashlib.sha256(data).hexdigest()
    assert opened.key_id == key_id(PUBLIC)


def test_packing_twice_gives_the_same_bytes() -> None:
    assert pack(entries(), KEY) == pack(entries(), KEY)


def test_packing_refuses_other_entries() -> None:
    with pytest.raises(ValueError, match="exactly"):
        pack(entries() | {"extra.txt": b""}, KEY)


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "golden.npz", "signature.json"])
def test_a_flipped_bit_in_an_entry_is_found(name: str) -> None:
    parts = unzipped(tiny_bundle())
    middle = len(parts[name]) // 2
    parts[name] = parts[name][:middle] + bytes([parts[name][middle] ^ 1]) + parts[name][middle + 1 :]
    refused(zipped(parts.items()), "not what was signed" if name != "signature.json" else "signature|trusted")


def test_an_entry_swapped_for_another_signed_one_is_found() -> None:
    parts, other = unzipped(tiny_bundle()), unzipped(tiny_bundle(version="2.0.0"))
    refused(zipped((parts | {"manifest.json": other["manifest.json"]}).items()), "manifest.json is not what was signed")


def test_two_entries_that_change_places_are_found() -> None:
    parts = unzipped(tiny_bundle())
    parts["model.onnx"], parts["golden.npz"] = parts["golden.npz"], parts["model.onnx"]
    refused(zipped(parts.items()), "not what was signed")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_found(share: float) -> None:
    data = tiny_bundle()
    refused(data[: int(len(data) * share)], "is cut short")


def test_bytes_before_and_behind_the_zip_are_refused() -> None:
    refused(b"#!/bin/sh\n" + tiny_bundle(), "is cut short")
    refused(tiny_bundle() + b"\0", "is cut short")


def test_an_unsigned_bundle_is_refused() -> None:
    refused(zipped(entries().items()), "not signed")


def test_a_bundle_signed_by_a_stranger_is_refused() -> None:
    refused(pack(entries(), OTHER_KEY), "no trusted key signed this bundle")


def test_a_missing_entry_is_named() -> None:
    parts = unzipped(tiny_bundle())
    del parts["golden.npz"]
    refused(zipped(parts.items()), "lacks golden.npz")


@pytest.mark.parametrize("name", ["extra.bin", "../model.onnx", "/etc/passwd", "model.onnx/", "MODEL.ONNX", "a\\b"])
def test_an_entry_that_is_no_part_of_a_bundle_is_refused(name: str) -> None:
    refused(zipped([*unzipped(tiny_bundle()).items(), (name, b"x")]), "no part of a bundle")


def test_a_second_entry_of_the_same_name_is_refused() -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        data = zipped([*unzipped(tiny_bundle()).items(), ("model.onnx", b"evil")])
    refused(data, "model.onnx twice")


def test_a_compressed_entry_is_refused_before_it_is_read() -> None:
    bomb = unzipped(tiny_bundle()) | {"model.onnx": bytes(50_000_000)}
    refused(zipped(bomb.items(), zipfile.ZIP_DEFLATED), "is compressed")


def test_an_entry_that_declares_too_much_is_refused() -> None:
    parts = unzipped(tiny_bundle()) | {"signature.json": bytes(70_000)}
    refused(zipped(parts.items()), "signature.json has 70000 bytes")


def test_an_encrypted_entry_is_refused() -> None:
    data = bytearray(tiny_bundle())
    directory = data.rindex(b"PK\x01\x02")
    data[directory + 8] |= 1
    refused(bytes(data), "is encrypted")


def test_a_file_that_is_too_large_is_refused_unread() -> None:
    with pytest.raises(BundleError, match="more than the 10 allowed"):
        open_bundle(tiny_bundle(), [PUBLIC], max_bytes=10)


def test_a_signature_that_leaves_an_entry_out_is_refused() -> None:
    parts = entries()
    signature = dsse.sign({name: parts[name] for name in ("manifest.json", "golden.npz")}, KEY)
    refused(zipped([*parts.items(), ("signature.json", signature)]), "signature covers")


def test_a_newer_schema_is_called_newer() -> None:
    newer = msgspec.json.encode({"schema": "stethos/bundle/2", "unheard_of": 1})
    refused(pack(entries(manifest=newer), KEY), "stethos/bundle/2, this agent reads stethos/bundle/1")


def test_an_unknown_key_in_the_manifest_is_refused() -> None:
    more = msgspec.json.decode(msgspec.json.encode(manifest())) | {"surprise": 1}
    refused(pack(entries(manifest=msgspec.json.encode(more)), KEY), "surprise")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channel_usual": [1.0]}, "channel_usual has 1 values for 3 channels"),
        ({"baseline": Baseline(band_edges_hz=[1.0, 2.0], channels=[])}, "the baseline is not one of 3 channels"),
        ({"contract": msgspec.structs.replace(manifest().contract, hop=0)}, "must be positive"),
        ({"contract": msgspec.structs.replace(manifest().contract, rate_hz=0.0)}, "must be positive"),
        ({"contract": msgspec.structs.replace(manifest().contract, channels=[])}, "distinct names"),
        ({"calibration": msgspec.structs.replace(manifest().calibration, scale=0.0)}, "must be positive"),
        ({"calibration": msgspec.structs.replace(manifest().calibration, body_scores=[])}, "one length"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(change: dict[str, object], message: str) -> None:
    refused(pack(entries(manifest=msgspec.json.encode(manifest(**change))), KEY), message)


def objects() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, windows=np.array([object()]), score=golden().score, channel_score=golden().channel_score)
    return buffer.getvalue()


def with_golden(**changes: np.ndarray) -> bytes:
    vectors = golden()
    parts = {"windows": vectors.windows, "score": vectors.score, "channel_score": vectors.channel_score} | changes
    return golden_bytes(GoldenVectors(**parts))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no zip", "golden.npz"),
        (objects(), "allow_pickle"),
        (with_golden(score=np.zeros(3, np.float32)), "score must be finite float32"),
        (with_golden(score=np.zeros(4, np.float64)), "is float64"),
        (with_golden(score=np.full(4, np.nan, np.float32)), "finite"),
    ],
)
def test_golden_vectors_that_cannot_prove_anything_are_refused(data: bytes, message: str) -> None:
    refused(pack(entries(golden=data), KEY), message)


def test_nothing_is_parsed_before_the_signature_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    def parsed(*_: object) -> None:
        pytest.fail("an entry was parsed before its signature was verified")

    monkeypatch.setattr(bundles, "_manifest", parsed)
    monkeypatch.setattr(bundles, "_golden", parsed)
    refused(pack(entries(), OTHER_KEY), "no trusted key")
    parts = unzipped(tiny_bundle()) | {"manifest.json": b"{}"}
    refused(zipped(parts.items()), "not what was signed")


def test_the_unverified_manifest_can_be_read_for_people() -> None:
    assert unverified_manifest(pack(entries(), OTHER_KEY)) == manifest()
