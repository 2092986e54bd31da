"""An atheris target for the decoder of one profile: `python -m tests.fuzz.decoder PROFILE [libFuzzer options] CORPUS`.

Whatever the bytes and however they are cut, feeding them raises nothing, holds no more than one frame, and accounts for every byte and frame.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["agent.decode"]):
    from agent.decode.decoder import Decoder
    from agent.types import Chunk
    from tests.harness.profiles import golden, shipped

_T0 = 1_700_000_000_000_000_000
# Longer than any frame that a profile states, with the bytes that a framing may add.
_SLACK_BYTES = 64


def main(arguments: list[str]) -> None:
    profile = shipped(arguments[1])
    topics = sorted({topic for _, topic in golden(arguments[1]).pieces()})

    def one(data: bytes) -> None:
        """The first byte says into how many pieces the rest is cut, and on which of the known topics they come."""
        if not data:
            return
        decoder = Decoder(profile, "d")
        step = max(1, len(data) // (1 + data[0] % 8))
        for number, at in enumerate(range(1, len(data), step)):
            topic = topics[(data[0] // 8 + number) % len(topics)]
            decoder.feed([Chunk("d", data[at : at + step], _T0 + number, topic)])
        balance = decoder.balance()
        if balance.entered != len(data) - 1 or balance.missing or decoder.frame_balance().missing:
            raise AssertionError(f"bytes or frames are missing: {decoder.counters.snapshot()}, {balance}")
        if balance.held > profile.framing.max_frame_bytes + _SLACK_BYTES:
            raise AssertionError(f"{balance.held} bytes are held")

    atheris.Setup([arguments[0], *arguments[2:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
