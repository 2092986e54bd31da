"""Golden frames: bytes as a device sends them and the samples they must give, read from a file and held against a profile."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from agent.decode.decoder import Decoder
from agent.decode.envelope import Envelope
from agent.decode.framing import framer
from agent.decode.schema import Profile, Section
from agent.errors import ConfigError, Problem
from agent.toml_structs import parse
from agent.types import Batch, Chunk

_DEVICE = "golden"
# float32 carries seven digits, and the file is written in decimal.
_RELATIVE, _ABSOLUTE = 1e-5, 1e-9
_MOST_DIFFERENCES = 20


class GoldenMessage(Section, frozen=True, kw_only=True):
    """One message of a broker with its topic; exactly one of text and hex."""

    topic: str = ""
    text: str | None = None
    hex: str | None = None

    @property
    def data(self) -> bytes:
        """The payload."""
        return bytes.fromhex(self.hex) if self.hex is not None else (self.text or "").encode()


class GoldenSample(Section, frozen=True, kw_only=True):
    """Event time in nanoseconds since the Unix epoch, values in the order of the channels, and their quality flags."""

    t_ns: int
    values: list[float]
    quality: list[int]


class Golden(Section, frozen=True, kw_only=True):
    """The file: exactly one of hex, text (a stream) and messages; all of it arrived at `arrived_ns`."""

    arrived_ns: int
    sample: list[GoldenSample]
    lost: int = 0
    hex: str | None = None
    text: str | None = None
    messages: list[str | GoldenMessage] | None = None

    def pieces(self) -> list[tuple[bytes, str]]:
        """Payloads with their topics; a stream is one payload without a topic."""
        if self.messages is not None:
            return [
                (message.encode(), "") if isinstance(message, str) else (message.data, message.topic)
                for message in self.messages
            ]
        return [(bytes.fromhex(self.hex) if self.hex is not None else (self.text or "").encode(), "")]

    def chunks(self, step: int | None = None) -> list[Chunk]:
        """What arrives; a stream comes in chunks of `step` bytes, or whole."""
        pieces = self.pieces()
        if step is not None and self.messages is None:
            stream = pieces[0][0]
            pieces = [(stream[at : at + step], "") for at in range(0, len(stream), step)]
        return [Chunk(_DEVICE, data, self.arrived_ns, topic) for data, topic in pieces]


def parse_golden(text: str, filename: str) -> Golden:
    """The golden frames in `text`; raises ConfigError with all of its problems."""
    golden = parse(text, filename, Golden).value
    given = [name for name in ("hex", "text", "messages") if getattr(golden, name) is not None]
    problems = []
    if len(given) != 1:
        problems.append(
            Problem(filename, f"{' and '.join(given) or 'no bytes'} given", "give one of hex, text, messages")
        )
    try:
        golden.pieces()
    except ValueError as error:
        problems.append(Problem(filename, f"not hex: {error}", 'write pairs of hex digits: "00 03 fe"'))
    if problems:
        raise ConfigError(problems)
    return golden


def records(profile: Profile, golden: Golden) -> list[bytes]:
    """The records of the frames that are whole, before anything is read out of them."""
    frames, _ = framer(profile).cut([data for data, _ in golden.pieces()])
    return list(Envelope(profile).open(frames)[0])


def differences(profile: Profile, golden: Golden) -> list[str]:
    """How what the profile makes of the bytes differs from the samples beside them; empty where it does not."""
    batch = Decoder(profile, _DEVICE).feed(golden.chunks())
    found = list(_differences(profile, golden, batch))
    if found:  # what was refused is likely their cause
        found = [*_refused(profile, golden), *found]
    if len(found) > _MOST_DIFFERENCES:
        found = [*found[:_MOST_DIFFERENCES], f"and {len(found) - _MOST_DIFFERENCES} more"]
    return found


def _differences(profile: Profile, golden: Golden, batch: Batch | None) -> Iterator[str]:
    count = 0 if batch is None else len(batch)
    if count != len(golden.sample):
        yield f"the bytes give {count} samples, the file lists {len(golden.sample)}"
    if batch is None:
        return
    if batch.lost != golden.lost:
        yield f"{batch.lost} samples are lost by the counter, the file says {golden.lost}"
    for index, (sample, t_ns) in enumerate(zip(golden.sample, batch.t_ns.tolist(), strict=False)):
        if t_ns != sample.t_ns:
            yield f"sample {index}: t_ns is {t_ns}, the file says {sample.t_ns}"
        for what in _readings(profile, sample, batch.values[index].tolist(), batch.quality[index].tolist()):
            yield f"sample {index}: {what}"


def _readings(profile: Profile, sample: GoldenSample, values: list[float], quality: list[int]) -> Iterator[str]:
    """How the values and quality flags of one sample differ from those of the file."""
    if not len(values) == len(sample.values) == len(sample.quality):
        yield f"{len(values)} channels, the file gives {len(sample.values)} values and {len(sample.quality)} qualities"
        return
    for channel, value, wanted in zip(profile.channel_names, values, sample.values, strict=True):
        if not _same(value, wanted):
            yield f"{channel} is {value:.7g}, the file says {wanted:.7g}"
    for channel, flags, wanted in zip(profile.channel_names, quality, sample.quality, strict=True):
        if flags != wanted:
            yield f"the quality of {channel} is {flags}, the file says {wanted}"


def _same(value: float, wanted: float) -> bool:
    if math.isnan(wanted):
        return math.isnan(value)
    return bool(np.isclose(value, wanted, rtol=_RELATIVE, atol=_ABSOLUTE))


def _refused(profile: Profile, golden: Golden) -> Iterator[str]:
    """Which bytes gave no sample and why, found by decoding once more byte by byte."""
    decoder = Decoder(profile, _DEVICE)
    reasons = ("checksum_errors", "decode_errors", "skipped", "overlong", "repeated", "time_errors")
    before = dict.fromkeys(reasons, 0)
    begun = 0
    for end, chunk in enumerate(golden.chunks(1), start=1):
        what = "message" if golden.messages is not None else "byte"
        frames = decoder.counters["frames"]
        decoder.feed([chunk])
        for reason in reasons:
            if decoder.counters[reason] > before[reason]:
                where = f"{what} {end - 1}" if what == "message" or end - 1 == begun else f"bytes {begun} to {end - 1}"
                yield f"{where}: {reason.replace('_', ' ').removesuffix('s')}"
                before[reason] = decoder.counters[reason]
        if decoder.counters["frames"] > frames:
            begun = end
    if held := decoder.balance().held:
        yield f"the last {held} bytes are a frame that has not ended"
