"""The zip around a bundle: its names, sizes and layout are judged before any entry is read, and nothing is ever unpacked. Pure."""

from __future__ import annotations

import io
import re
import struct
import zipfile
from collections.abc import Mapping, Sequence

from agent.errors import BundleError

MANIFEST, MODEL, GOLDEN, SIGNATURE, PARITY = (
    "manifest.json",
    "model.onnx",
    "golden.npz",
    "signature.json",
    "parity.json",
)
REQUIRED = (MANIFEST, MODEL, GOLDEN)
VARIANT = re.compile(r"model\.(fp16|int8)\.onnx")
ENGINE = re.compile(r"engine\.(sm[1-9][0-9]{1,2})\.rtx")
_MIB = 1024 * 1024
# The most bytes that an entry may have where that is less than the whole bundle may.
_LIMITS = {MANIFEST: 4 * _MIB, GOLDEN: 64 * _MIB, SIGNATURE: _MIB // 16, PARITY: _MIB}
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can state
_ENCRYPTED = 0x1
_FIRST_HEADER = b"PK\x03\x04"
# The end record (APPNOTE 4.3.16): signature, two disks, entries on this disk, entries, directory's bytes, its offset, comment's bytes.
_END = struct.Struct("<4s4H2LH")
_END_SIGNATURE = b"PK\x05\x06"
_LONGEST_DIRECTORY_BYTES = 64 * 1024


def is_entry(name: str) -> bool:
    """Whether a bundle may hold an entry of this name beside its signature."""
    return name in REQUIRED or name == PARITY or bool(VARIANT.fullmatch(name) or ENGINE.fullmatch(name))


def write(entries: Mapping[str, bytes]) -> bytes:
    """The zip of `entries`, stored as they are, the signature last; the same entries give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(entries, key=lambda name: (name == SIGNATURE, name)):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), entries[name])
    return buffer.getvalue()


def read(data: bytes, max_bytes: int) -> dict[str, bytes]:
    """The entries by name; raises BundleError for anything but a whole bundle of stored entries within `max_bytes`."""
    if len(data) > max_bytes:
        raise BundleError(f"the bundle has more than the {max_bytes} bytes that [trust] max_bytes allows")
    _check_ends(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            _check_structure(infos, len(data))
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


def _check_ends(data: bytes) -> None:
    """The zip fills the file, and its directory is short enough to be read.

    zipfile would search on, and find the end of golden.npz, itself a zip, in a bundle that was cut off behind it; and it would
    take a directory of millions of entries into memory.
    """
    end = data[-_END.size :]
    if not data.startswith(_FIRST_HEADER) or not end.startswith(_END_SIGNATURE):
        raise BundleError("the bundle is cut short, has bytes before or behind it, or is no zip file; copy it again")
    _, _, _, _, _, directory_bytes, offset, _ = _END.unpack(end)
    if directory_bytes > _LONGEST_DIRECTORY_BYTES or offset + directory_bytes + _END.size != len(data):
        raise BundleError("the bundle's directory does not end where the file does, or is too long; export it again")


def _check_structure(infos: Sequence[zipfile.ZipInfo], data_bytes: int) -> None:
    """Names, sizes and compression, all from the directory, before any entry is read."""
    names = [info.filename for info in infos]
    for info in infos:
        _check_entry(info)
        if names.count(info.filename) > 1:
            raise BundleError(f"the bundle holds {info.filename} twice; export it again")
    # Entries that share their bytes would take more memory than the file has.
    if sum(info.file_size for info in infos) > data_bytes:
        raise BundleError("the bundle's entries have more bytes than the bundle; export it again")
    if SIGNATURE not in names:
        raise BundleError(f"the bundle is not signed: {SIGNATURE} is missing; see 'stethos bundle sign'")
    if missing := [name for name in REQUIRED if name not in names]:
        raise BundleError(f"the bundle lacks {', '.join(missing)}; export it again")


def _check_entry(info: zipfile.ZipInfo) -> None:
    name = info.filename
    if not (is_entry(name) or name == SIGNATURE):
        raise BundleError(f"the bundle holds {name[:64]!r}, which is no part of a bundle; export it again")
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise BundleError(f"{name} is compressed; a bundle's entries are stored as they are, export it again")
    if info.flag_bits & _ENCRYPTED:
        raise BundleError(f"{name} is encrypted by zip; a bundle's entries are stored as they are, export it again")
    if info.file_size > _LIMITS.get(name, info.file_size):
        raise BundleError(f"{name} has {info.file_size} bytes, more than {_LIMITS[name]}")
