"""An atheris target for one of the parsers: `python -m tests.fuzz.parser NAME [libFuzzer options] CORPUS`."""

from __future__ import annotations

import logging
import sys

import atheris

with atheris.instrument_imports(include=["agent"]):
    from tests.fuzz.parsers import PARSERS


def main(arguments: list[str]) -> None:
    logging.disable()  # refused states are logged, thousands of times a second
    atheris.Setup([arguments[0], *arguments[2:]], PARSERS[arguments[1]].parse)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
