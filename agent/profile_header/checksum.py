"""The checksum of a profile in C, small rather than fast: CRCs bit by bit, without a table in flash."""

from __future__ import annotations

from crccheck.crc import ALLCRCCLASSES, CrcBase

from agent.decode.checksum import CATALOGUE, SUMS
from agent.decode.schema import Profile
from agent.profile_header.names import Names

_SUMS = {
    "sum8": ("sum = (uint8_t)(sum + data[i]);", "sum"),
    "sum8-twos-complement": ("sum = (uint8_t)(sum + data[i]);", "(uint8_t)(0u - sum)"),
    "sum16": ("sum = (uint16_t)(sum + data[i]);", "sum"),
    "xor8": ("sum ^= data[i];", "sum"),
}

_SUM = """\
static inline {kind} {p}_checksum(const uint8_t *data, size_t size)
{{
    {kind} sum = 0;
    for (size_t i = 0; i < size; i++) {{
        {step}
    }}
    return {result};
}}
"""

_REFLECTED = """\
/* {title}: polynomial {poly:#x}, reflected */
static inline {kind} {p}_checksum(const uint8_t *data, size_t size)
{{
    {kind} crc = {init:#x}u;
    for (size_t i = 0; i < size; i++) {{
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) {{
            const uint32_t shifted = (uint32_t)crc >> 1;
            crc = ({kind})(crc & 1u ? shifted ^ {mirrored:#x}u : shifted);
        }}
    }}
    return ({kind})(crc ^ {xorout:#x}u);
}}
"""

_FORWARD = """\
/* {title}: polynomial {poly:#x} */
static inline {kind} {p}_checksum(const uint8_t *data, size_t size)
{{
    {kind} crc = {init:#x}u;
    for (size_t i = 0; i < size; i++) {{
        crc = ({kind})(crc ^ (uint32_t)data[i] << {shift});
        for (int bit = 0; bit < 8; bit++) {{
            const uint32_t shifted = (uint32_t)crc << 1;
            crc = ({kind})(crc & {top:#x}u ? shifted ^ {poly:#x}u : shifted);
        }}
    }}
    return ({kind})(crc ^ {xorout:#x}u);
}}
"""


def checksum_code(names: Names, profile: Profile) -> str:
    """`PREFIX_checksum`, or nothing where the profile has no checksum."""
    if profile.checksum is None:
        return ""
    name = profile.checksum.name
    bits = 8 * CATALOGUE[name][1]
    if name in SUMS:
        step, result = _SUMS[name]
        return _SUM.format(p=names.prefix, kind=f"uint{bits}_t", step=step, result=result)
    crc = catalogued(name)
    template = _REFLECTED if crc._reflect_input else _FORWARD  # noqa: SLF001 - crccheck publishes its parameters so
    return template.format(
        p=names.prefix, kind=f"uint{bits}_t", title=name, shift=bits - 8, top=1 << bits - 1, poly=crc._poly,  # noqa: SLF001
        mirrored=_mirrored(crc._poly, bits), xorout=crc._xor_output,  # noqa: SLF001
        init=_mirrored(crc._initvalue, bits) if crc._reflect_input else crc._initvalue,  # noqa: SLF001
    )  # fmt: skip


def catalogued(name: str) -> type[CrcBase]:
    """The catalogue's entry for a name such as crc16-modbus; KeyError where crccheck has none."""
    family, _, rest = name.partition("-")
    wanted = f"CRC-{family.removeprefix('crc')}/{rest}".upper()
    known: dict[str, type[CrcBase]] = {alias.upper(): crc for crc in ALLCRCCLASSES for alias in crc._names}  # noqa: SLF001
    return known[wanted]


def _mirrored(value: int, bits: int) -> int:
    return int(f"{value:0{bits}b}"[::-1], 2)
