"""The bundle file, written and read: nothing in it is parsed before its signature and its digests hold. Pure."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.decide.baseline import Baseline
from agent.decide.calibration import Calibration
from agent.errors import UNREADABLE, BundleError
from agent.infer import dsse
from agent.infer.manifest import SCHEMA, Manifest
from agent.types import Float32Array

SUFFIX = ".stethos"
MAX_BYTES = 256 * 1024 * 1024
_MIB = 1024 * 1024
# Every name a bundle may hold, and the most bytes that each may have.
_LIMITS = {
    "manifest.json": 4 * _MIB,
    "model.onnx": MAX_BYTES,
    "golden.npz": 64 * _MIB,
    "signature.json": _MIB // 16,
}
_SIGNED = tuple(name for name in _LIMITS if name != "signature.json")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can state
_ENCRYPTED = 0x1
_FIRST_HEADER, _END_RECORD, _END_BYTES = b"PK\x03\x04", b"PK\x05\x06", 22


@dataclass(frozen=True, slots=True, eq=False)
class GoldenVectors:
    """Inputs and the outputs they must give: windows float32 [n, channels, time], score [n], channel_score [n, channels]."""

    windows: Float32Array
    score: Float32Array
    channel_score: Float32Array


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A model that a trusted key signed. `digest` is the SHA-256 of the whole file, `key_id` names the signer."""

    manifest: Manifest
    model: bytes
    golden: GoldenVectors
    digest: str
    key_id: str


def pack(entries: Mapping[str, bytes], key: Ed25519PrivateKey) -> bytes:
    """Sign and zip `manifest.json`, `model.onnx` and `golden.npz`; the same input gives the same bytes."""
    if set(entries) != set(_SIGNED):
        raise ValueError(f"a bundle holds exactly {_SIGNED}, not {tuple(entries)}")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in [*sorted(entries.items()), ("signature.json", dsse.sign(entries, key))]:
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data)
    return buffer.getvalue()


def open_bundle(data: bytes, trusted: Sequence[Ed25519PublicKey], max_bytes: int = MAX_BYTES) -> Bundle:
    """Verify, then parse. Raises BundleError, which says what is wrong with which entry and what to do.

    The order is the defence: size, zip structure, signature, digests; only bytes that passed all of them reach a parser.
    """
    if len(data) > max_bytes:
        raise BundleError(f"the bundle has {len(data)} bytes, more than the {max_bytes} allowed")
    entries = _read_entries(data)
    verified = dsse.verify(entries["signature.json"], trusted)
    _check_digests(entries, verified.sha256)
    manifest = _manifest(entries["manifest.json"])
    golden = _golden(entries["golden.npz"], manifest)
    return Bundle(manifest, entries["model.onnx"], golden, hashlib.sha256(data).hexdigest(), verified.key_id)


def unverified_manifest(data: bytes) -> Manifest:
    """The manifest of a bundle whose signature nobody checked: for people to read, never for the agent to act on."""
    return _manifest(_read_entries(data)["manifest.json"])


def golden_bytes(golden: GoldenVectors) -> bytes:
    """golden.npz of these vectors."""
    buffer = io.BytesIO()
    np.savez(buffer, windows=golden.windows, score=golden.score, channel_score=golden.channel_score)
    return buffer.getvalue()


def _read_entries(data: bytes) -> dict[str, bytes]:
    # zipfile would search on, and find the end of golden.npz, itself a zip, in a bundle that was cut off behind it.
    if not data.startswith(_FIRST_HEADER) or data[-_END_BYTES : -_END_BYTES + 4] != _END_RECORD:
        raise BundleError("the bundle is cut short, has bytes before or behind it, or is no zip file; copy it again")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            _check_structure(infos)
            return {info.filename: archive.read(info) for info in infos}
    # What zipfile raises on hostile input, found by flipping bits; it documents BadZipFile alone.
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        struct.error,
    ) as error:
        raise BundleError(f"the bundle is no intact zip file: {error}; copy it again") from error


def _check_structure(infos: Sequence[zipfile.ZipInfo]) -> None:
    """Names, sizes and compression, all from the directory, before any entry is read."""
    names = [info.filename for info in infos]
    for info in infos:
        if info.filename not in _LIMITS:
            raise BundleError(f"the bundle holds {info.filename!r}, which is no part of a bundle; export it again")
        if names.count(info.filename) > 1:
            raise BundleError(f"the bundle holds {info.filename} twice; export it again")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise BundleError(
                f"{info.filename} is compressed; a bundle's entries are stored as they are, export it again"
            )
        if info.flag_bits & _ENCRYPTED:
            raise BundleError(
                f"{info.filename} is encrypted; a bundle's entries are stored as they are, export it again"
            )
        if info.file_size > _LIMITS[info.filename]:
            raise BundleError(f"{info.filename} has {info.file_size} bytes, more than {_LIMITS[info.filename]}")
    if "signature.json" not in names:
        raise BundleError("the bundle is not signed: signature.json is missing; export it with --key")
    if missing := [name for name in _SIGNED if name not in names]:
        raise BundleError(f"the bundle lacks {', '.join(missing)}; export it again")


def _check_digests(entries: Mapping[str, bytes], signed: Mapping[str, str]) -> None:
    if set(signed) != set(_SIGNED):
        raise BundleError(f"the signature covers {sorted(signed)}, not {sorted(_SIGNED)}; export the bundle again")
    for name in _SIGNED:
        if hashlib.sha256(entries[name]).hexdigest() != signed[name]:
            raise BundleError(f"{name} is not what was signed (SHA-256 differs); copy the bundle again from its source")


class _Schema(msgspec.Struct, frozen=True):
    """The one key that is read before the rest, so that a newer manifest is called newer and not broken."""

    schema: str


def _manifest(data: bytes) -> Manifest:
    try:
        schema = msgspec.json.decode(data, type=_Schema).schema
        if schema != SCHEMA:
            raise BundleError(f"manifest.json is {schema}, this agent reads {SCHEMA}; update the one that is older")
        manifest = msgspec.json.decode(data, type=Manifest)
    except UNREADABLE as error:
        raise BundleError(f"manifest.json: {error}; export the bundle again") from error
    if problem := _manifest_problem(manifest):
        raise BundleError(f"manifest.json: {problem}; export the bundle again")
    return manifest


def _manifest_problem(manifest: Manifest) -> str | None:
    """What the types alone cannot say."""
    contract, calibration = manifest.contract, manifest.calibration
    channels = len(contract.channels)
    if channels == 0 or len(set(contract.names)) != channels:
        return "contract.channels must be one or more distinct names"
    if min(contract.window, contract.hop) < 1 or contract.hold_cells < 0 or contract.rate_hz <= 0:
        return "contract.window, hop and rate_hz must be positive"
    if len(manifest.channel_usual) != channels:
        return f"channel_usual has {len(manifest.channel_usual)} values for {channels} channels"
    if manifest.baseline is not None and not _fits(manifest.baseline, channels):
        return f"the baseline is not one of {channels} channels, or its bands do not fit their edges"
    return _calibration_problem(calibration)


def _calibration_problem(calibration: Calibration) -> str | None:
    lasting = calibration.lasting
    if calibration.scale <= 0 or calibration.rate_per_hour <= 0 or calibration.shape < 0:
        return "calibration.scale and rate_per_hour must be positive, shape not negative"
    if lasting is not None and min(lasting.scale, lasting.rate_per_hour) <= 0:
        return "calibration.lasting scale and rate_per_hour must be positive"
    if not calibration.body_scores or len(calibration.body_scores) != len(calibration.body_rates):
        return "calibration.body_scores and body_rates must have one length above zero"
    return None


def _golden(data: bytes, manifest: Manifest) -> GoldenVectors:
    channels, time, count = len(manifest.contract.channels), manifest.contract.window, manifest.golden.windows
    shapes = {"windows": (count, channels, time), "score": (count,), "channel_score": (count, channels)}
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in shapes}
    except (zipfile.BadZipFile, ValueError, KeyError, OSError, EOFError) as error:
        raise BundleError(f"golden.npz: {error}; export the bundle again") from error
    for name, shape in shapes.items():
        found = arrays[name]
        if found.shape != shape or found.dtype != np.float32 or not np.isfinite(found).all() or count < 1:
            raise BundleError(
                f"golden.npz: {name} must be finite float32 {shape}, is {found.dtype} {found.shape}; export the bundle again"
            )
    return GoldenVectors(**arrays)


def _fits(baseline: Baseline, channels: int) -> bool:
    bands = len(baseline.band_edges_hz) - 1
    return (
        len(baseline.channels) == channels
        and bands >= 1
        and all(len(each.bands) == bands for each in baseline.channels)
    )
