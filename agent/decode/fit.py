"""How well a profile explains captured bytes: the device's own decoder reads them, and its counters are the evidence."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from agent.decode.checksum import CATALOGUE
from agent.decode.decoder import Decoder
from agent.decode.schema import Profile
from agent.types import Chunk

# What speaks against chance beside a checksum: that a packed record has the right size, or that a number stands in text where
# one should, is worth this much each.
_FORM_BITS = 2.0
# From here on chance is out of the question (one in a million).
_ENOUGH_BITS = 20.0
_USUAL_BAUDS = (115_200, 9_600, 921_600, 57_600, 38_400, 19_200, 230_400, 460_800, 4_800, 1_000_000)
CERTAIN, LIKELY, POSSIBLE = 0.95, 0.7, 0.3


@dataclass(frozen=True, slots=True)
class Fit:
    """One profile beside one capture; each share lies in 0 to 1.

    valid: frames that decode, leaving out one that was torn where the capture began. explained: bytes that lie in them.
    continuous: samples whose counter and clock follow the ones before. usual: values that are present and in their range. chance:
    how far frames so few and so lightly checked rule out mere chance. `confidence` is the least of the first four, times chance: one
    damaged frame shows in three of them, and must not count thrice.
    """

    profile: str
    baud: int
    frames: int
    good: int
    checked: bool  # its frames carry a checksum
    counted: bool  # and a sequence counter
    valid: float
    explained: float
    continuous: float
    usual: float
    chance: float

    @property
    def confidence(self) -> float:
        """0 to 1."""
        return min(self.valid, self.explained, self.continuous, self.usual) * self.chance

    @property
    def verdict(self) -> str:
        """The confidence in a word."""
        for least, word in ((CERTAIN, "certain"), (LIKELY, "likely"), (POSSIBLE, "possible")):
            if self.confidence >= least:
                return word
        return "no"

    @property
    def evidence(self) -> str:
        """What the confidence rests on, as in `412 of 413 frames valid (checksum), sequence unbroken`."""
        if not self.frames:
            return "no frame"
        check = "checksum" if self.checked else "form only"
        parts = [f"{self.good} of {self.frames} frames valid ({check})"]
        if self.counted and self.good > 1:
            parts.append(
                "sequence unbroken" if self.continuous == 1.0 else f"sequence steps right {self.continuous:.0%}"
            )
        if self.usual < 1.0:
            parts.append(f"{1 - self.usual:.0%} of values missing or out of range")
        if self.explained < 1.0:
            parts.append(f"{self.explained:.0%} of bytes explained")
        if self.chance < 1.0:
            parts.append("few frames")
        return ", ".join(parts)


def fit(name: str, profile: Profile, baud: int, chunks: Sequence[Chunk]) -> Fit:
    """Judge `chunks`, captured at `baud`, by the profile's own decoder."""
    decoder = Decoder(profile, name)
    decoder.feed(chunks)
    count = decoder.counters
    frames, samples, repeated = count["frames"], count["samples"], count["repeated"]
    good = frames - count["checksum_errors"] - count["decode_errors"]
    accepted = decoder.balance().left
    a_frame = accepted / good if good else 0.0
    unexplained = max(0.0, count["resync_bytes"] - a_frame)  # the frame in which the capture began
    values = samples * len(profile.channel)
    astray = count["lost"] + repeated + count["resets"] + count["time_errors"]
    width = 0 if profile.checksum is None else CATALOGUE[profile.checksum.name][1]
    bits = good * (8 * width + _FORM_BITS * (1 if profile.binary else len(profile.field_names)))
    return Fit(
        profile=name,
        baud=baud,
        frames=frames,
        good=good,
        checked=width > 0,
        counted=profile.sequence is not None,
        valid=min(1.0, good / max(1, frames - 1)),
        explained=accepted / (accepted + unexplained) if accepted and good else 0.0,
        continuous=samples / (samples + astray) if samples else 0.0,
        usual=1.0 - (count["missing"] + count["out_of_range"]) / values if values else 0.0,
        chance=min(1.0, bits / _ENOUGH_BITS),
    )


def candidate_bauds(profiles: Sequence[Profile]) -> list[int]:
    """The rates to try: those of the profiles, the most frequent first, then the usual ones."""
    named = Counter(profile.baud for profile in profiles if profile.baud is not None)
    return list(dict.fromkeys([baud for baud, _ in named.most_common()] + list(_USUAL_BAUDS)))


def rank(fits: Sequence[Fit], bauds: dict[str, int | None]) -> list[Fit]:
    """Best first; among equals, one at the baud rate that its profile names (`bauds`), then by name."""
    return sorted(fits, key=lambda each: (-round(each.confidence, 3), bauds[each.profile] != each.baud, each.profile))


def rivals(best: Fit, fits: Sequence[Fit]) -> list[str]:
    """Other profiles that explain the same bytes as well, so that only the device's label can tell them apart."""
    return sorted(
        {
            each.profile
            for each in fits
            if each.profile != best.profile
            and each.baud == best.baud
            and math.isclose(each.confidence, best.confidence, abs_tol=0.02)
        }
    )


def printable_share(data: bytes) -> float:
    """The share of bytes that are ASCII text, line ends among them."""
    text = sum(32 <= byte < 127 or byte in b"\r\n\t" for byte in data)
    return text / len(data) if data else 0.0


def hex_dump(data: bytes, rows: int = 8) -> list[str]:
    """The first 16 bytes a row: offset, hex, text."""
    lines = []
    for offset in range(0, min(len(data), rows * 16), 16):
        row = data[offset : offset + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{offset:06x}  {row.hex(' '):<47}  {text}")
    return lines
