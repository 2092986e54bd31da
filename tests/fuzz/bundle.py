"""Atheris targets for what a box reads of strangers: `python -m tests.fuzz.bundle TARGET [libFuzzer options] CORPUS`.

Whatever the bytes, reading them raises BundleError or nothing, and nothing that was not signed comes out. The readers behind the signature are
targets of their own: no stranger reaches them, a careless supplier does.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable

import atheris

with atheris.instrument_imports(include=["agent.infer", "agent.trust", "agent.decode.protobuf_wire"]):
    from agent.errors import BundleError
    from agent.infer.bundle import open_bundle, pack, unverified
    from agent.infer.golden import read_golden
    from agent.infer.graph import check_graph
    from agent.infer.manifest import read_manifest
    from agent.trust import memory
    from agent.trust.root import read_chain, read_links
    from tests.harness.bundles import KEY, PUBLIC, full_entries, manifest, tiny_bundle
    from tests.harness.roots import ANNE, BEN, exchanged, first

# The digests of the seeds, which are all that was ever signed.
_SIGNED = [open_bundle(data, [PUBLIC]).digests for data in (tiny_bundle(), pack(full_entries(), [KEY]))]
_ROOT = read_chain(exchanged(first(ANNE), ANNE, BEN))


def bundle(data: bytes) -> None:
    with contextlib.suppress(BundleError):
        if open_bundle(data, [PUBLIC]).digests not in _SIGNED:
            raise AssertionError("entries were believed that nobody signed")
    unverified(data)


def root(data: bytes) -> None:
    with contextlib.suppress(BundleError):
        if not read_chain(data).begins(_ROOT):
            raise AssertionError("a root was followed that nobody signed")
    read_links(data)


TARGETS: dict[str, Callable[[bytes], object]] = {
    "bundle": bundle,
    "root": root,
    "graph": lambda data: check_graph(data, "model.onnx"),
    "manifest": read_manifest,
    "golden": lambda data: read_golden(data, manifest()),
    "memory": memory.decode,
}


def main(arguments: list[str]) -> None:
    warnings.simplefilter("ignore")  # zipfile and numpy warn of what is refused anyway
    target = TARGETS[arguments[1]]

    def one(data: bytes) -> None:
        with contextlib.suppress(BundleError):
            target(data)

    atheris.Setup([arguments[0], *arguments[2:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
