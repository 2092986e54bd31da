"""The commented profile that `stethos profile new` writes."""

from __future__ import annotations

from collections.abc import Sequence

_HEAD = """\
# Which device this is, and anything that a reader should know before the details.
#
# Every key: `stethos profile schema`, and firmware_configs/README.md.

maker = "Example"
model = "node"
source = "https://example.com/datasheet.pdf" # where the layout is documented
firmware = [] # the versions that speak so, as in ["1.2", "1.3"]
transport = "{transport}"
{baud}rate_hz = {rate_hz!r} # samples a second
silent_after_s = {silent_after_s!r} # without a sample for so long, the device is silent
action = "" # what a technician should do when the device fails
"""

_BINARY = """
# cobs, slip, length (a length in front) or sync (a sync word in front).
[framing]
kind = "cobs"

# Any CRC of the RevEng catalogue, or sum8, sum16, xor8, sum8-twos-complement.
[checksum]
name = "crc16-ibm-3740"

# u8 i8 u16 i16 u24 i24 u32 i32 u64 i64 f32 f64, or pad with its size; no padding but what is named.
[binary]
endian = "little"
fields = [
  {{ name = "sequence", type = "u16" }},
{fields}
]

# Counts samples, and wraps; it shows what is lost.
[sequence]
field = "sequence"

# counter: sequence / rate_hz; device: a field holds the time; arrival: when the bytes came.
[time]
kind = "counter"
"""

_CSV = """
[framing]
kind = "lines" # ended by "\\n"; "\\r\\n" is understood too

[csv]
columns = ["sequence", {columns}]
skip_prefixes = ["#", "sequence"] # comments and headers

# Counts samples, and wraps at 2**bits; it shows what is lost.
[sequence]
field = "sequence"
bits = 16

# counter: sequence / rate_hz; device: a column holds the time; arrival: when the bytes came.
[time]
kind = "counter"
"""

_JSON = """
[framing]
kind = "message" # one MQTT payload

# Field = path in the message, as in drive.current or axes[0].rms.
[json.fields]
time = "time"
{paths}

# device: a field holds the time; arrival: when the message came.
[time]
kind = "device"
field = "time"
unit = "ms" # s, ms, us, ns since 1970, or rfc3339
"""

_CHANNEL = """
[[channel]]
name = "{name}"
unit = "{unit}" # UCUM: Cel, [g], A, V, bar, L/min, /min for rpm, 1 for a pure number
scale = 1.0 # value = raw * scale + offset
offset = 0.0
# minimum = 0.0 # outside, a value is kept and marked out of range
# maximum = 1.0
# resolution = 0.1 # the smallest step
# noise = 0.05 # its usual standard deviation when nothing changes
# invalid = [-32768] # raw codes that say "no reading"
# action = "" # what a technician should do when this sensor fails
"""


def template(record: str, channels: Sequence[tuple[str, str]], rate_hz: float) -> str:
    """A profile of a `record` (binary, csv or json) with these channels (name and unit)."""
    names = [name for name, _ in channels]
    mqtt = record == "json"
    head = _HEAD.format(
        transport="mqtt" if mqtt else "serial",
        baud="" if mqtt else "baud = 115200\n",
        rate_hz=rate_hz,
        silent_after_s=max(1.0, 10 / rate_hz),
    )
    body = {
        "binary": _BINARY.format(fields="\n".join(f'  {{ name = "{name}", type = "i16" }},' for name in names)),
        "csv": _CSV.format(columns=", ".join(f'"{name}"' for name in names)),
        "json": _JSON.format(paths="\n".join(f'{name} = "{name}"' for name in names)),
    }[record]
    return head + body + "".join(_CHANNEL.format(name=name, unit=unit) for name, unit in channels)
