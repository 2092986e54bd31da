"""Seeds for the fuzzer of bundles: `python -m tests.fuzz.bundle_seeds FOLDER` writes what is sound, a folder a target."""

from __future__ import annotations

import sys
from pathlib import Path

from agent.infer.bundle import pack
from agent.trust import memory
from agent.trust.memory import Memory
from tests.harness.bundles import KEY, encrypted_entries, energy_model, full_entries, slow_model, tiny_bundle
from tests.harness.roots import ANNE, BEN, exchanged, first

SEEDS = {
    "bundle": [tiny_bundle(), pack(full_entries(), [KEY]), pack(encrypted_entries(bytes(32)), [KEY])],
    "root": [first(ANNE), exchanged(first(ANNE), ANNE, BEN)],
    "graph": [energy_model(), slow_model()],
    "manifest": [full_entries()["manifest.json"]],
    "golden": [full_entries()["golden.npz"]],
    "memory": [memory.encode(Memory(counters={"tiny": 3}, root=first(ANNE).decode()))],
}


def main(folder: Path) -> None:
    for name, seeds in SEEDS.items():
        corpus = folder / name
        corpus.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(seeds):
            (corpus / f"{number}").write_bytes(data)
        print("bundle", name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
