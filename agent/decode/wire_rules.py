"""What can be wrong with how a profile frames and checks its records, each with its key, and what to do."""

from __future__ import annotations

from collections.abc import Iterator

from agent.decode.checksum import CATALOGUE
from agent.decode.frame_shape import frame_shape
from agent.decode.layout import Layout
from agent.decode.schema import Framing, Profile
from agent.toml_structs import Found, nearest

_HEADED = ("sync", "length")


def problems(profile: Profile) -> Iterator[Found]:
    """Every one of them; a profile with none has a framer, an envelope and a wrapping."""
    yield from _framing(profile)
    yield from _delimiter(profile.framing)
    sound = True
    for found in [*_sync(profile), *_checksum(profile)]:
        sound = False
        yield found
    if sound and profile.framing.kind in _HEADED:
        yield from _size(profile)


def _framing(profile: Profile) -> Iterator[Found]:
    kind, path = profile.framing.kind, ("framing", "kind")
    if (kind == "message") != (profile.transport in {"mqtt", "modbus"}):
        remedy = "an MQTT payload and a Modbus poll are a message each, serial lines have frames"
        yield path, f"framing '{kind}' does not go with transport '{profile.transport}'", remedy
    if kind == "lines" and profile.binary:
        yield path, "a binary record may contain the delimiter", "frame binary records by cobs"
    if kind in _HEADED and profile.checksum is None:
        remedy = "add [checksum]; without one, frame by cobs or slip"
        yield path, "without a checksum nothing tells a frame from bytes that look like its beginning", remedy


def _delimiter(framing: Framing) -> Iterator[Found]:
    if framing.kind == "lines" and not framing.delimiter:
        yield ("framing", "delimiter"), "the delimiter is empty", 'leave it out for "\\n"'
    if framing.kind != "lines" and framing.delimiter != "\n":
        yield ("framing", "delimiter"), f"framing '{framing.kind}' has no delimiter of its own to set", "leave it out"


def _sync(profile: Profile) -> Iterator[Found]:
    framing = profile.framing
    kind, length = framing.kind, framing.length
    if (kind == "sync") != bool(framing.sync):
        yield (
            ("framing", "sync"),
            f"framing '{kind}' and a sync word of '{framing.sync}'",
            "sync needs one, no other has one",
        )
    elif framing.sync and not _sync_word(framing.sync):
        yield ("framing", "sync"), f"'{framing.sync}' is no sync word", 'write one to four hex bytes, as in "42 4d"'
    if kind == "length" and length is None:
        yield ("framing",), "the key 'length' is missing", "add length = { width = 2 }, say"
    if kind not in _HEADED and length is not None:
        yield ("framing", "length"), f"framing '{kind}' has no length", "leave it out"
    if kind == "length" and length is not None and length.offset:
        yield ("framing", "length", "offset"), "nothing stands before the length", "leave it out, or frame by sync"
    if kind == "sync" and length is None and (profile.binary is None or profile.match):
        yield ("framing",), "nothing says how long a frame is", "add length = { width = ..., offset = ... }"


def _sync_word(text: str) -> bytes | None:
    try:
        word = bytes.fromhex(text)
    except ValueError:
        return None
    return word if 1 <= len(word) <= 4 else None


def _checksum(profile: Profile) -> Iterator[Found]:
    rule, kind = profile.checksum, profile.framing.kind
    if rule is None:
        return
    if rule.name not in CATALOGUE:
        yield ("checksum", "name"), f"unknown checksum '{rule.name}'", nearest(rule.name, CATALOGUE)
    if (kind == "lines") != (rule.encoding == "hex"):
        what = "a line of text carries no binary checksum" if kind == "lines" else f"framing '{kind}' carries no text"
        yield ("checksum",), what, 'with framing lines, and only then, encoding = "hex"'
    if rule.encoding == "hex" and not rule.marker:
        yield ("checksum", "marker"), "the marker is empty", 'leave it out for "*"'
    if rule.encoding != "hex" and (rule.marker != "*" or rule.start):
        yield ("checksum",), "a binary checksum has neither start nor marker", "leave them out"
    if rule.covers == "frame" and (kind not in _HEADED or rule.every_bytes):
        yield ("checksum", "covers"), "there is nothing beside the record that this checksum covers", "leave it out"
    if rule.every_bytes and rule.encoding == "hex":
        yield ("checksum", "every_bytes"), "a checksum behind every group of bytes is binary", "leave it out"
    if rule.every_bytes and profile.binary and Layout(profile.binary).size % rule.every_bytes:
        what = f"the record of {Layout(profile.binary).size} bytes is no whole number of groups of {rule.every_bytes}"
        yield ("checksum", "every_bytes"), what, "mend the record or the groups"


def _size(profile: Profile) -> Iterator[Found]:
    """The length must be able to tell the size of the frames, and lie inside the record that follows a sync word."""
    length = profile.framing.length
    try:
        shape = frame_shape(profile)
    except OverflowError:
        yield ("framing", "length", "width"), "it cannot tell how long a frame of this record is", "widen it"
        return
    if shape.shortest > shape.longest:
        yield ("framing", "max_frame_bytes"), f"no frame fits into {shape.longest} bytes", "raise it"
    if length and profile.binary and shape.length_at + length.width > shape.record_at + Layout(profile.binary).size:
        yield (
            ("framing", "length", "offset"),
            "the length lies behind the record",
            "count from the end of the sync word",
        )
