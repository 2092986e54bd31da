"""Seeds for the fuzzer: `python -m tests.fuzz.seeds FOLDER` writes a corpus for each target and prints its module and name."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from tests.fuzz.parsers import PARSERS
from tests.harness.profiles import golden, shipped_names


def main(folder: Path) -> None:
    """The golden bytes of every profile, whole and message by message; what each of the other parsers understands."""
    for name in shipped_names():
        pieces = [data for data, _ in golden(name).pieces()]
        seeds = [b"".join(pieces), *pieces]
        _put(folder / name, (bytes([number % 256]) + data for number, data in enumerate(seeds)))
        print("decoder", name)
    for name, parser in PARSERS.items():
        _put(folder / name, parser.seeds)
        print("parser", name)


def _put(corpus: Path, seeds: Iterable[bytes]) -> None:
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds):
        (corpus / f"{number}").write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
