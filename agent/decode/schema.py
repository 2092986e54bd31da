"""The firmware profile: one sensor firmware's framing, checksum, record layout, time and channels, as typed structs."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec

Endian = Literal["little", "big"]
FieldType = Literal["u8", "i8", "u16", "i16", "u24", "i24", "u32", "i32", "u64", "i64", "f32", "f64", "pad"]
WordOrder = Literal[
    "ABCD", "CDAB", "BADC", "DCBA"
]  # how the bytes of a number, A the most significant, follow each other
RegisterTable = Literal["holding", "input", "coil", "discrete"]
TimeUnit = Literal["s", "ms", "us", "ns", "rfc3339"]
Positive = Annotated[float, msgspec.Meta(gt=0)]
RECORD_FORMATS = ("binary", "csv", "json", "influx", "senml", "sparkplug")


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; a key that is not named here is an error."""


class LengthRule(Section, frozen=True, kw_only=True):
    """A field that tells how long its frame is.

    It counts the payload (what lies between it and the checksum), the payload and the checksum, or the whole frame from its first byte.
    """

    width: Literal[1, 2, 4]  # bytes
    offset: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0  # bytes between the sync word and this field
    endian: Endian = "little"
    counts: Literal["payload", "payload+checksum", "frame"] = "payload"


class Framing(Section, frozen=True, kw_only=True):
    """How one frame is told from the next.

    cobs: zero-delimited COBS. slip: RFC 1055. lines: text up to a delimiter. message: one MQTT payload. length: a length, then so much.
    sync: a sync word, then the binary record (and its checksum), or as much as a length field behind the sync word says.
    """

    kind: Literal["cobs", "slip", "lines", "length", "sync", "message"]
    delimiter: str = "\n"  # of lines
    sync: str = ""  # the sync word as one to four hex bytes: "42 4d"
    length: LengthRule | None = None
    max_frame_bytes: Annotated[int, msgspec.Meta(ge=1, le=1_048_576)] = 4_096  # longer ones are skipped as junk


class ChecksumRule(Section, frozen=True, kw_only=True):
    """A CRC or sum over the record, appended to it before COBS or SLIP encoding.

    With `covers = "frame"` it covers what precedes the record too: the sync word, or the length. With `every_bytes` each group of so many bytes is
    followed by its own checksum. As text, it is upper-case hex behind `marker`, and covers what lies behind `start`.
    """

    name: str  # of the RevEng catalogue (crc16-modbus, crc32-iso-hdlc ...), or sum8, sum16, xor8, sum8-twos-complement
    endian: Endian = "little"
    covers: Literal["record", "frame"] = "record"
    every_bytes: Annotated[int, msgspec.Meta(ge=1, le=256)] | None = None
    encoding: Literal["binary", "hex"] = "binary"
    marker: str = "*"
    start: str = ""


class BinaryField(Section, frozen=True, kw_only=True):
    """One number of a packed record, or `size` reserved bytes of type pad."""

    type: FieldType
    name: str = ""
    endian: Endian | None = None  # the record's where absent
    word_order: WordOrder | None = None  # of a number of 4 bytes, in the place of endian
    size: Annotated[int, msgspec.Meta(ge=1, le=65_536)] = 1  # bytes of a pad


class BitField(Section, frozen=True, kw_only=True):
    """Bits `low` to `high` (bit 0 is the least significant) of the integer field `of`, as a field of their own."""

    name: str
    of: str
    low: Annotated[int, msgspec.Meta(ge=0, le=63)]
    high: Annotated[int, msgspec.Meta(ge=0, le=63)]
    signed: bool = False


class SampleBlock(Section, frozen=True, kw_only=True):
    """`count` samples in one frame, each of these fields in order, taken 1/rate_hz apart; the oldest comes first.

    Without `count` a frame holds as many as it has room for.
    """

    count: Annotated[int, msgspec.Meta(ge=1, le=4_096)] | None = None
    fields: list[BinaryField]


class BinaryRecord(Section, frozen=True, kw_only=True):
    """A packed record of fixed size: its fields in order, without padding, then the block of samples if there is one.

    Without `samples`, a frame is one sample. With it, a channel whose field stands before the block holds for all samples of its frame.
    """

    fields: list[BinaryField]
    endian: Endian = "little"
    bits: list[BitField] = []
    samples: SampleBlock | None = None


class CsvRecord(Section, frozen=True, kw_only=True):
    """One line of separated cells."""

    columns: list[str]
    separator: str = ","
    skip_prefixes: list[str] = []  # lines that begin so are headers or comments, not records


class JsonRecord(Section, frozen=True, kw_only=True):
    """One JSON object; each field is found by a path such as `drive.current` or `axes[0].rms`.

    A path with `[*]`, as in `samples[*].x` or `x[*]`, is one value a sample, oldest first; all such arrays of a message are of one
    length, and fields without it hold for all samples of their message.
    """

    fields: dict[str, str]


class InfluxField(Section, frozen=True, kw_only=True):
    """A field of InfluxDB line protocol, of the lines that have this measurement and at least these tags."""

    measurement: str
    field: str
    tags: dict[str, str] = {}


class InfluxRecord(Section, frozen=True, kw_only=True):
    """Lines of InfluxDB line protocol; those of one message and time are one sample."""

    fields: dict[str, InfluxField]
    precision: Literal["s", "ms", "us", "ns"] = "ns"  # of the timestamps


class SenmlField(Section, frozen=True, kw_only=True):
    """A SenML record by its resolved name; its unit must mean the channel's."""

    name: str
    unit: str | None = None  # the SenML unit, needed only where one name carries several quantities ("lat", "lon")
    part: Literal["value", "sum"] = "value"


class SenmlRecord(Section, frozen=True, kw_only=True):
    """SenML packs (RFC 8428); records of one pack and time are one sample."""

    fields: dict[str, SenmlField]
    encoding: Literal["json", "cbor"] = "json"


class SparkplugField(Section, frozen=True, kw_only=True):
    """A metric by the name that its birth certificate gives; `device` is empty for metrics of the edge node itself."""

    metric: str
    device: str = ""


class SparkplugRecord(Section, frozen=True, kw_only=True):
    """Sparkplug B 3.0 messages of one edge node; the metrics of one message and time are one sample."""

    fields: dict[str, SparkplugField]


class Register(Section, frozen=True, kw_only=True):
    """One number or truth value of a Modbus slave, as a field of the record that a poll of it makes."""

    name: str
    table: RegisterTable
    address: Annotated[
        int, msgspec.Meta(ge=0, le=65_535)
    ]  # as sent, counted from 0: what manuals call 40001 is holding 0
    type: Literal["u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "bool"] | None = None  # u16; bool of a coil
    word_order: WordOrder | None = None  # the slave's where absent


class ModbusRecord(Section, frozen=True, kw_only=True):
    """The registers of a Modbus slave that one poll reads, and how many of them it allows in one request.

    The record is what the slave answered: registers in this order, two bytes each, and a byte of 0 or 1 for a truth value.
    """

    registers: list[Register]
    word_order: WordOrder = "ABCD"
    bits: list[BitField] = []
    timeout_ms: Annotated[float, msgspec.Meta(gt=0, le=10_000)] = 500.0  # until an answer begins
    max_registers: Annotated[int, msgspec.Meta(ge=1, le=125)] = 125  # in one request
    max_bits: Annotated[int, msgspec.Meta(ge=1, le=2_000)] = 2_000
    max_gap: Annotated[int, msgspec.Meta(ge=0, le=2_000)] = 0  # unused registers that may be read to spare a request
    one_request_per_field: bool = False
    pause_ms: Annotated[float, msgspec.Meta(ge=0, le=1_000)] = 0.0  # of silence that it needs before each request
    pause_after_connect_ms: Annotated[float, msgspec.Meta(ge=0, le=10_000)] = 0.0


class SequenceRule(Section, frozen=True, kw_only=True):
    """The field that counts samples or frames; it wraps at 2**bits (for a binary field its type says so).

    Where a frame holds several samples, a counter of samples is the number of the frame's first one.
    """

    field: str
    bits: Annotated[int, msgspec.Meta(ge=8, le=32)] | None = None
    counts: Literal["samples", "frames"] = "samples"


class TimeRule(Section, frozen=True, kw_only=True):
    """Where event times come from.

    device: `field` holds the time since the Unix epoch in `unit`, or as RFC 3339 text; a sample whose time steps by
    more than `max_step_s` is dropped unless the next one confirms it. With `epoch = "boot"` the clock counts from the device's boot, or from
    any other moment, wraps at 2**bits (for a binary field its type says so), and is tied to arrivals by regression as a counter is.
    counter: the sequence counter divided by rate_hz, tied to arrivals by regression, and anew where it departs from them by more than
    `max_departure_ms` for good.
    arrival: the arrival time; samples that arrive together are spaced back by 1/rate_hz.
    Samples that come up to `max_disorder_s` behind a newer one are put in place; their machine waits for them for so long.
    """

    kind: Literal["device", "counter", "arrival"]
    field: str | None = None
    unit: TimeUnit | None = None
    max_step_s: Positive = 3_600.0
    max_departure_ms: Positive = 250.0
    epoch: Literal["unix", "boot"] = "unix"
    bits: Annotated[int, msgspec.Meta(ge=8, le=63)] | None = None
    max_disorder_s: Annotated[float, msgspec.Meta(ge=0, le=3_600)] = 0.0
    max_drift_ppm: Positive | None = (
        None  # a counter's clock that is further off is reported; any is right where absent
    )


class StartupCommand(Section, frozen=True, kw_only=True):
    """What is sent to a device, after its port was opened or for an alarm, and the answer that must come before the next one is sent.

    Exactly one of send (text) and send_hex; at most one of expect (a regular expression over bytes, found anywhere) and
    expect_hex (bytes that the answer holds); without either no answer is waited for.
    """

    send: str | None = None
    send_hex: str | None = None
    expect: str | None = None
    expect_hex: str | None = None
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 1.0  # for each try
    retries: Annotated[int, msgspec.Meta(ge=0, le=100)] = 2


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
    states: dict[str, float] = {}  # raw numbers of words, as in { ON = 1, OFF = 0 }; a truth value is "true" or "false"
    resolution: Positive | None = None  # the smallest step of the engineering value
    noise: Annotated[float, msgspec.Meta(ge=0)] | None = (
        None  # standard deviation from reading to reading at rest; 0: none
    )
    stuck_after_s: Positive | None = None  # unchanged for so long is stuck, whatever `noise` would say
    rest: list[float] = []  # values at which it may stay for ever, as the current of a motor at rest
    rails: tuple[float, float] | None = None  # where its converter saturates: lowest and highest
    max_step: Positive | None = None  # the most by which it truly changes within 1/rate_hz
    silent_after_s: Positive | None = None  # the device's where absent; inf where it is sent only when it changes
    action: str = ""  # what a technician should do when this channel's sensor fails

    @property
    def source_field(self) -> str:
        """The field that carries this channel."""
        return self.field or self.name


class AgreeRule(Section, frozen=True, kw_only=True):
    """Channels that measure one thing: their means over a second or more differ from their median by at most `within`.

    Of two, the difference counts. With `norm`, the root of the sum of their squares is that, within `within`: gravity on three axes.
    """

    channels: list[str]
    within: Positive
    norm: Positive | None = None


class Profile(Section, frozen=True, kw_only=True):
    """The whole file; exactly one of RECORD_FORMATS is set."""

    maker: str
    model: str
    source: str  # where the layout is documented: a URL or a data sheet
    firmware: list[str] = []  # versions that speak so; none means all
    action: str = ""  # what a technician should do when the device fails
    transport: Literal["serial", "mqtt", "modbus"]
    rate_hz: Positive
    silent_after_s: Positive
    framing: Framing
    time: TimeRule
    channel: list[Channel]
    agree: list[AgreeRule] = []
    baud: Annotated[int, msgspec.Meta(ge=50)] | None = None
    checksum: ChecksumRule | None = None
    binary: BinaryRecord | None = None
    csv: CsvRecord | None = None
    json: JsonRecord | None = None
    influx: InfluxRecord | None = None
    senml: SenmlRecord | None = None
    sparkplug: SparkplugRecord | None = None
    modbus: ModbusRecord | None = None  # its registers become the binary record
    sequence: SequenceRule | None = None
    match: dict[str, list[int | str]] = {}  # a frame whose fields have other values is of another kind, and skipped
    startup: list[StartupCommand] = []
    command: dict[str, StartupCommand] = {}  # what an alarm may have said to it, by name

    @property
    def channel_names(self) -> list[str]:
        """Channels in the order of a batch's columns."""
        return [channel.name for channel in self.channel]

    @property
    def field_names(self) -> list[str]:
        """Every field of a record, in order."""
        if self.binary:
            return [entry.name for entry in self.binary_fields if entry.type != "pad"] + [
                bits.name for bits in self.binary.bits
            ]
        if self.csv:
            return self.csv.columns
        text = self.json or self.stamped
        return list(text.fields) if text else []

    @property
    def stamped(self) -> InfluxRecord | SenmlRecord | SparkplugRecord | None:
        """The record format, where it is one that carries times of its own."""
        return self.influx or self.senml or self.sparkplug

    @property
    def sequence_bits(self) -> int:
        """Width of the sequence counter, zero where there is none, or where it names no field, which the profile's check tells."""
        if self.sequence is None:
            return 0
        if self.sequence.bits is not None or self.binary is None:
            return self.sequence.bits or 0
        widths = {field.name: int(field.type[1:]) for field in self.binary_fields if field.type != "pad"}
        widths |= {bits.name: bits.high - bits.low + 1 for bits in self.binary.bits}
        return widths.get(self.sequence.field, 0)

    @property
    def sequence_modulus(self) -> int:
        """How many samples the sequence counter tells apart before it wraps."""
        frames = self.sequence is not None and self.sequence.counts == "frames"
        return (1 << self.sequence_bits) * (self.frame_samples if frames else 1)

    @property
    def clock_wrap_ns(self) -> int | None:
        """When a clock that counts from boot begins again at zero; None where it never does."""
        width = next((int(entry.type[1:]) for entry in self.binary_fields if entry.name == self.time.field), 64)
        wrap_ns = (1 << (self.time.bits or width)) * {"s": 10**9, "ms": 10**6, "us": 10**3}.get(
            self.time.unit or "ns", 1
        )
        return wrap_ns if wrap_ns < 1 << 62 else None

    @property
    def max_late_samples(self) -> int:
        """How many samples behind the newest one may still be put in place."""
        return math.ceil(self.time.max_disorder_s * self.rate_hz)

    @property
    def binary_fields(self) -> list[BinaryField]:
        """Every field of a binary record in wire order, those of one sample of the block last; pads too."""
        if self.binary is None:
            return []
        return [*self.binary.fields, *(self.binary.samples.fields if self.binary.samples else [])]

    @property
    def frame_samples(self) -> int:
        """How many samples a binary frame holds; one in every other format."""
        return (self.binary.samples.count or 1) if self.binary and self.binary.samples else 1
