"""How long a box takes to verify a bundle of 10 MB, beside bare SHA-256 of the same bytes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator

import msgspec
import numpy as np
import onnx
from onnx import numpy_helper

from agent.infer.bundle import open_bundle, pack
from agent.infer.encryption import describe, encrypt
from tests.bench.figures import Figure, significant
from tests.bench.rounds import alternate
from tests.harness.bundles import KEY, OTHER_KEY, PUBLIC, energy_model, entries, manifest

_BYTES = 10_000_000
_ROUNDS = 60
_TRUSTED = [PUBLIC, OTHER_KEY.public_key()]
_SECRET = bytes(range(32))


def measure() -> Iterator[Figure]:
    """All of `open_bundle`: zip, two signatures, digests, manifest, the graph's walk, golden vectors; decryption where there is any."""
    plain = entries(model=_model())
    told = manifest(encryption=describe(_SECRET))
    secret = encrypt(entries(manifest=msgspec.json.encode(told), model=_model()), _SECRET, told)
    for name, parts, key in (("verify_10mb", plain, None), ("verify_10mb_encrypted", secret, _SECRET)):
        data = pack(parts, [KEY, OTHER_KEY])

        def ours(data: bytes = data, key: bytes | None = key) -> float:
            started = time.perf_counter()
            open_bundle(data, _TRUSTED, threshold=2, decryption_key=key)
            return time.perf_counter() - started

        def bare(data: bytes = data) -> float:
            started = time.perf_counter()
            hashlib.sha256(data).digest()
            return time.perf_counter() - started

        found = alternate(ours, bare, _ROUNDS)
        against = (
            f"bare SHA-256 of the same {len(data):,} bytes: {1e3 * found.bare:.3g} ms; {found.ratio:.3g} times that"
        )
        yield Figure(f"bundle.{name}", significant(1e3 * found.ours), "ms", against)


def _model() -> bytes:
    """A graph with weights that fill the bundle."""
    model = onnx.load_from_string(energy_model())
    weights = np.random.default_rng(0).standard_normal(_BYTES // 4).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weights, "weights"))
    return model.SerializeToString()
