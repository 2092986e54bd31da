"""Attack stories of the file: cut short, grown, or a zip that lies and would cost the box its memory or its folders."""

from __future__ import annotations

import io
import struct
import zipfile

import msgspec
import numpy as np
import pytest

from agent.infer.bundle import open_bundle, pack
from tests.harness.attacks import refused
from tests.harness.bundles import KEY, PUBLIC, entries, full_entries, golden, manifest, tiny_bundle
from tests.harness.zips import unzipped, zipped

END_BYTES = 22


def test_the_file_is_cut_short_on_its_way() -> None:
    data = tiny_bundle()
    for kept in (0, 1, 4, len(data) // 3, len(data) - END_BYTES, len(data) - 1):
        refused(data[:kept], "^the bundle is cut short")


def test_a_script_is_put_before_the_zip_and_bytes_behind_it() -> None:
    refused(b"#!/bin/sh\n" + tiny_bundle(), "is cut short")
    refused(tiny_bundle() + b"\0", "is cut short")


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
