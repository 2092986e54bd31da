"""Seeds for the fuzzer: `python -m tests.fuzz.seeds FOLDER` writes the golden bytes of every profile, whole and message by message."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.harness.profiles import golden, shipped_names


def main(folder: Path) -> None:
    for name in shipped_names():
        corpus = folder / name
        corpus.mkdir(parents=True, exist_ok=True)
        pieces = [data for data, _ in golden(name).pieces()]
        for number, data in enumerate([b"".join(pieces), *pieces]):
            (corpus / f"{number}").write_bytes(bytes([number % 256]) + data)
        print(name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
