"""Profiles of every framing, checksum and record layout, for tests that hold for all of them."""

from __future__ import annotations

from agent.decode.checksum import CATALOGUE
from agent.decode.framing import Framer
from agent.decode.profile import Profile
from tests.harness.profiles import make

FRAMINGS = {
    "cobs": 'framing = { kind = "cobs" }',
    "slip": 'framing = { kind = "slip" }',
    "length-1": 'framing = { kind = "length", length = { width = 1 } }',
    "length-2": 'framing = { kind = "length", length = { width = 2, endian = "big", counts = "payload+checksum" } }',
    "length-4": 'framing = { kind = "length", length = { width = 4, counts = "frame" } }',
    "sync-1": 'framing = { kind = "sync", sync = "a5" }',
    "sync-4": 'framing = { kind = "sync", sync = "aa 55 aa 55" }',
    "sync-length": 'framing = { kind = "sync", sync = "42 4d", length = { width = 2, endian = "big", counts = "payload+checksum" } }',
    "sync-offset": 'framing = { kind = "sync", sync = "b5 62", length = { width = 1, offset = 2 } }',
}
HEADED = [name for name in FRAMINGS if name.startswith(("length", "sync"))]

# One or two of each kind; the whole catalogue is tried on one framing.
CHECKSUMS = [
    "sum8",
    "sum8-twos-complement",
    "sum16",
    "xor8",
    *sorted(name for name in CATALOGUE if name.startswith("crc")),
]
FEW_CHECKSUMS = [
    "sum8",
    "sum8-twos-complement",
    "sum16",
    "xor8",
    "crc8-smbus",
    "crc16-modbus",
    "crc16-xmodem",
    "crc32-iso-hdlc",
]

_CHANNELS = 'channel = [{ name = "a", unit = "1" }, { name = "b", unit = "1" }]\n'
_COUNTED = 'sequence = { field = "n" }\ntime = { kind = "counter" }\n'

# Each begins with four bytes that a sync framing may overwrite with its length.
_PAD = '{ type = "pad", size = 4 }'
LAYOUTS = {
    "plain": f'{_COUNTED}{_CHANNELS}binary = {{ fields = [{_PAD}, {{ name = "n", type = "u16" }}, {{ name = "a", type = "i16" }}, '
    '{ name = "b", type = "f32" }] }',
    "big": f'{_COUNTED}{_CHANNELS}binary = {{ endian = "big", fields = [{_PAD}, {{ name = "a", type = "i64" }}, {{ name = "n", type = "u24" }}, '
    '{ name = "b", type = "f64" }] }',
    "mixed": f'{_COUNTED}{_CHANNELS}binary = {{ fields = [{_PAD}, {{ name = "n", type = "u8" }}, {{ name = "a", type = "i24", endian = "big" }}, '
    '{ type = "pad", size = 3 }, { name = "b", type = "f32", word_order = "CDAB" }, { name = "c", type = "u32", word_order = "BADC" }] }',
    "bits": f'{_COUNTED}{_CHANNELS}binary = {{ fields = [{_PAD}, {{ name = "flags", type = "u16" }}, {{ name = "word", type = "u32", endian = "big" }}], '
    'bits = [{ name = "n", of = "flags", low = 4, high = 15 }, { name = "a", of = "flags", low = 0, high = 3, signed = true }, '
    '{ name = "b", of = "word", low = 7, high = 30 }] }',
    "block": f'{_COUNTED}{_CHANNELS}[binary]\nfields = [{_PAD}, {{ name = "n", type = "u16" }}, {{ name = "b", type = "i16" }}]\n'
    '[binary.samples]\ncount = 5\nfields = [{ name = "a", type = "i24" }, { type = "pad", size = 1 }]',
    "frames": f'sequence = {{ field = "n", counts = "frames" }}\ntime = {{ kind = "counter" }}\n{_CHANNELS}[binary]\nendian = "big"\n'
    f'fields = [{_PAD}, {{ name = "n", type = "u8" }}]\n[binary.samples]\ncount = 3\n'
    'fields = [{ name = "a", type = "i16" }, { name = "b", type = "f32", word_order = "BADC" }]',
}
LONG = f'{_COUNTED}{_CHANNELS}[binary]\nfields = [{{ name = "n", type = "u16" }}]\n[binary.samples]\ncount = 200\nfields = [{{ name = "a", type = "i16" }}, {{ name = "b", type = "i16" }}]'


def profile_of(framing: str, checksum: str, layout: str, covers: str = "record") -> Profile:
    """The profile of these names."""
    body = LONG if layout == "long" else LAYOUTS[layout]
    rule = f'checksum = {{ name = "{checksum}", covers = "{covers}" }}'
    return make(f"{FRAMINGS[framing]}\n{rule}\n{body}")


def frames_of(framer: Framer, *chunks: bytes) -> list[bytes]:
    """What a framer cuts out of the chunks."""
    return list(framer.cut(chunks)[0])
