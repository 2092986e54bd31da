"""`stethos ports --detect`: listen at one baud rate after the other, and let every profile's decoder judge what was heard.

Nearly every sensor sends eight bits without parity. Even parity, Modbus's own and that of many meters, is tried where bytes came and
nothing fitted them, so that it costs the others no time.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import click

from agent.clock import SystemClock
from agent.config.checked import SerialPlace
from agent.decode.fit import (
    CERTAIN,
    POSSIBLE,
    Fit,
    candidate_bauds,
    fit,
    hex_dump,
    printable_share,
    rank,
    rivals,
)
from agent.decode.profile import Profile
from agent.errors import LinkError
from agent.sources.listen import listen
from agent.types import Chunk

_SHOWN_FITS = 5
_STEPS_A_SECOND = 10  # of the bar

Parity = Literal["none", "even"]


@dataclass(frozen=True, slots=True)
class Detected:
    """What fits, best first, and what was heard at each baud rate; `silent_until_told` are profiles that need a start-up."""

    port: str
    fitting: Sequence[Fit]
    heard: Mapping[int, bytes]
    silent_until_told: Sequence[str]
    parity: Parity

    def lines(self) -> Iterator[str]:
        """For a terminal."""
        if not self.fitting:
            yield from self._nothing_fits()
            return
        best, *others = self.fitting
        line = "" if self.parity == "none" else f", {self.parity} parity"
        yield f"{best.profile} at {best.baud}{line}: {best.verdict} ({best.confidence:.0%}), {best.evidence}"
        if same := rivals(best, self.fitting):
            yield f"  the bytes fit {' and '.join(same)} as well: the device's label must decide"
        for other in others[: _SHOWN_FITS - 1]:
            yield f"  {other.profile} at {other.baud}: {other.verdict} ({other.confidence:.0%}), {other.evidence}"

    def _nothing_fits(self) -> Iterator[str]:
        bauds = ", ".join(map(str, self.heard))
        baud, data = max(self.heard.items(), key=lambda entry: (printable_share(entry[1]), len(entry[1])))
        if not data:
            yield f"{self.port} was silent at {bauds} baud"
            if self.silent_until_told:
                yield f"  devices of {', '.join(self.silent_until_told)} speak only when told to, and nothing was sent"
            return
        yield f"nothing fits what {self.port} sent at {bauds} baud (8 data bits, no parity and even)"
        yield f"at {baud} baud came {len(data)} bytes, {printable_share(data):.0%} of them printable:"
        yield from (f"  {line}" for line in hex_dump(data))

    def document(self) -> dict[str, object]:
        """For a script."""
        best = self.fitting[0] if self.fitting else None
        return {
            "port": self.port,
            "parity": self.parity,
            "fits": [
                {
                    "profile": each.profile,
                    "baud": each.baud,
                    "confidence": round(each.confidence, 3),
                    "verdict": each.verdict,
                    "evidence": each.evidence,
                }
                for each in self.fitting
            ],
            "indistinguishable": rivals(best, self.fitting) if best else [],
            "heard": [
                {
                    "baud": baud,
                    "bytes": len(data),
                    "printable_share": round(printable_share(data), 3),
                    "begins": data[:64].hex(" "),
                }
                for baud, data in self.heard.items()
            ],
        }


def detect(port: str, profiles: Mapping[str, Profile], seconds: float) -> Detected:
    """Try `port` until a profile fits for certain, or every baud rate was tried; raises LinkError where it cannot be read."""
    found = _detect(port, candidate_bauds(list(profiles.values())), "none", profiles, seconds)
    talking = [baud for baud, data in found.heard.items() if data]
    if found.fitting or not talking:
        return found
    with_parity = _detect(port, talking, "even", profiles, seconds)
    return with_parity if with_parity.fitting else found


def _detect(
    port: str, bauds: Sequence[int], parity: Parity, profiles: Mapping[str, Profile], seconds: float
) -> Detected:
    fits: list[Fit] = []
    heard: dict[int, bytes] = {}
    for baud, chunks in _heard(port, bauds, parity, seconds):
        heard[baud] = b"".join(chunk.data for chunk in chunks)
        here = [fit(name, profile, baud, chunks) for name, profile in profiles.items()]
        fits += here
        if any(each.confidence >= CERTAIN for each in here):
            break
    ranked = rank(fits, {name: profile.baud for name, profile in profiles.items()})
    fitting = [each for each in ranked if each.confidence >= POSSIBLE]
    return Detected(port, fitting, heard, [name for name, profile in profiles.items() if profile.startup], parity)


def _heard(port: str, bauds: Sequence[int], parity: Parity, seconds: float) -> Iterator[tuple[int, list[Chunk]]]:
    """What comes at each baud rate, with a bar for whoever watches; a rate that the port does not offer is left out."""
    clock, refused = SystemClock(), 0
    steps = round(seconds * _STEPS_A_SECOND)
    with click.progressbar(
        length=len(bauds) * steps,
        label=f"listening to {port}",
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
    ) as bar:
        for index, baud in enumerate(bauds):
            bar.label = f"listening to {port} at {baud} baud, {parity} parity"
            begun = index * steps

            def progress(gone_s: float, begun: int = begun) -> None:
                bar.update(begun + round(gone_s * _STEPS_A_SECOND) - bar.pos)

            try:
                chunks = listen(port, SerialPlace(port, baud, parity), seconds, clock, progress)
            except LinkError:
                refused += 1
                if refused == len(bauds):
                    raise
                continue
            yield baud, chunks
