"""golden.npz: windows and the outputs that they must give, written and read. Pure."""

from __future__ import annotations

import io
import math
import tokenize
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from agent.errors import BundleError
from agent.infer.manifest import Manifest
from agent.types import Float32Array

_MOST_VALUES = 16 * 1024 * 1024
# What numpy's reader of a header raises beside ValueError, found by fuzzing.
_HEADER_ERRORS = (ValueError, TypeError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError)


@dataclass(frozen=True, slots=True, eq=False)
class GoldenVectors:
    """Inputs and the outputs they must give: windows float32 [n, channels, time], score [n], channel_score [n, channels]."""

    windows: Float32Array
    score: Float32Array
    channel_score: Float32Array

    def resized(self, count: int) -> GoldenVectors:
        """The first `count` of them, which start anew where they end."""
        parts = self.windows, self.score, self.channel_score
        return GoldenVectors(*(np.resize(part, (count, *part.shape[1:])) for part in parts))


def golden_bytes(golden: GoldenVectors) -> bytes:
    """golden.npz of these vectors."""
    buffer = io.BytesIO()
    np.savez(buffer, windows=golden.windows, score=golden.score, channel_score=golden.channel_score)
    return buffer.getvalue()


def read_golden(data: bytes, manifest: Manifest) -> GoldenVectors:
    """The vectors that `manifest` announces; raises BundleError for any others.

    Each array's header must announce the shape before memory is set aside for it, so that neither a header nor a compressed array can ask for more.
    """
    channels, time, count = len(manifest.contract.channels), manifest.contract.window, manifest.golden.windows
    shapes = {"windows": (count, channels, time), "score": (count,), "channel_score": (count, channels)}
    if not 1 <= count * channels * time <= _MOST_VALUES:
        raise _bad(f"{count} windows of {channels} x {time} values, where 1 to {_MOST_VALUES} values may be")
    arrays = {name: _array(name, stored, shapes[name]) for name, stored in _stored(data, shapes).items()}
    return GoldenVectors(**arrays)


def _stored(data: bytes, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, bytes]:
    """The .npy files of `data`, each no longer than it can need to be."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = {name: archive.getinfo(f"{name}.npy") for name in shapes}
            for name, info in infos.items():
                if info.file_size > 4 * math.prod(shapes[name]) + 4096:
                    raise _bad(f"{name} has {info.file_size} bytes, more than float32 {shapes[name]} needs")
            return {name: archive.read(info) for name, info in infos.items()}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, KeyError, OSError, EOFError, ValueError) as error:
        raise _bad(str(error)) from error


def _array(name: str, stored: bytes, shape: tuple[int, ...]) -> Float32Array:
    file = io.BytesIO(stored)
    try:
        if np.lib.format.read_magic(file) != (1, 0):
            raise _bad(f"{name} is not in version 1.0 of the format of .npy")
        found, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    except _HEADER_ERRORS as error:
        raise _bad(f"{name}: {error}") from error
    body = stored[file.tell() :]
    if found != shape or dtype != np.float32 or len(body) != 4 * math.prod(shape):
        raise _bad(f"{name} must be finite float32 {shape}, is {dtype} {found} in {len(body)} bytes")
    values = np.frombuffer(body, np.float32).reshape(shape, order="F" if fortran else "C")
    if not np.isfinite(values).all():
        raise _bad(f"{name} must be finite float32 {shape}, and is not finite")
    return values


def _bad(why: str) -> BundleError:
    return BundleError(f"golden.npz: {why}; export the bundle again")
