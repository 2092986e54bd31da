"""The firmware profile: one sensor firmware's framing, checksum, record layout, time and channels, as typed structs."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Endian = Literal["little", "big"]
FieldType = Literal["u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64"]
TimeUnit = Literal["s", "ms", "us", "ns", "rfc3339"]
Positive = Annotated[float, msgspec.Meta(gt=0)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; a key that is not named here is an error."""


class Framing(Section, frozen=True, kw_only=True):
    """How one frame is told from the next."""

    kind: Literal["cobs", "lines", "message"]  # zero-delimited COBS; text up to a delimiter; one MQTT payload
    delimiter: str = "\n"  # of lines
    max_frame_bytes: Annotated[int, msgspec.Meta(ge=1, le=1_048_576)] = 4_096  # longer ones are skipped as junk


class ChecksumRule(Section, frozen=True, kw_only=True):
    """A CRC over the record, appended to it before COBS encoding."""

    name: str  # of the RevEng catalogue: crc16-modbus, crc16-ibm-3740, crc32-iso-hdlc ...
    endian: Endian = "little"


class BinaryField(Section, frozen=True, kw_only=True):
    """One number of a packed record."""

    name: str
    type: FieldType


class BinaryRecord(Section, frozen=True, kw_only=True):
    """A packed record of fixed size: its fields in order, without padding."""

    fields: list[BinaryField]
    endian: Endian = "little"


class CsvRecord(Section, frozen=True, kw_only=True):
    """One line of separated cells."""

    columns: list[str]
    separator: str = ","
    skip_prefixes: list[str] = []  # lines that begin so are headers or comments, not records


class JsonRecord(Section, frozen=True, kw_only=True):
    """One JSON object; each field is found by a path such as `drive.current` or `axes[0].rms`."""

    fields: dict[str, str]


class SequenceRule(Section, frozen=True, kw_only=True):
    """The field that counts samples; it wraps at 2**bits (for a binary field its type says so)."""

    field: str
    bits: Annotated[int, msgspec.Meta(ge=8, le=32)] | None = None


class TimeRule(Section, frozen=True, kw_only=True):
    """Where event times come from.

    device: `field` holds the time since the Unix epoch in `unit`, or as RFC 3339 text; a sample whose time steps by
    more than `max_step_s` is dropped unless the next one confirms it.
    counter: the sequence counter divided by rate_hz, anchored at the first arrival, and anchored anew where it departs
    from the arrival time by more than `max_departure_ms`.
    arrival: the arrival time; samples that arrive together are spaced back by 1/rate_hz.
    """

    kind: Literal["device", "counter", "arrival"]
    field: str | None = None
    unit: TimeUnit | None = None
    max_step_s: Positive = 3_600.0
    max_departure_ms: Positive = 250.0


class Channel(Section, frozen=True, kw_only=True):
    """One quantity: engineering value = raw field value * scale + offset."""

    name: str
    unit: str  # UCUM, as in "Cel", "[g]", "A", "/min"
    field: str | None = None  # the channel's name where absent
    scale: float = 1.0
    offset: float = 0.0
    minimum: float | None = None  # engineering values outside are marked out of range, and kept
    maximum: float | None = None
    invalid: list[float] = []  # raw codes by which the firmware says "no reading"

    @property
    def source_field(self) -> str:
        """The field that carries this channel."""
        return self.field or self.name


class Profile(Section, frozen=True, kw_only=True):
    """The whole file; exactly one of binary, csv and json is set."""

    maker: str
    model: str
    source: str  # where the layout is documented: a URL or a data sheet
    transport: Literal["serial", "mqtt"]
    rate_hz: Positive
    silent_after_s: Positive
    framing: Framing
    time: TimeRule
    channel: list[Channel]
    baud: Annotated[int, msgspec.Meta(ge=50)] | None = None
    checksum: ChecksumRule | None = None
    binary: BinaryRecord | None = None
    csv: CsvRecord | None = None
    json: JsonRecord | None = None
    sequence: SequenceRule | None = None

    @property
    def channel_names(self) -> list[str]:
        """Channels in the order of a batch's columns."""
        return [channel.name for channel in self.channel]

    @property
    def field_names(self) -> list[str]:
        """Every field of a record, in order."""
        if self.binary:
            return [field.name for field in self.binary.fields]
        if self.csv:
            return self.csv.columns
        return list(self.json.fields) if self.json else []

    @property
    def sequence_bits(self) -> int:
        """Width of the sequence counter, zero where there is none."""
        if self.sequence is None:
            return 0
        if self.sequence.bits is not None or self.binary is None:
            return self.sequence.bits or 0
        types = {field.name: field.type for field in self.binary.fields}
        return int(types[self.sequence.field][1:])
