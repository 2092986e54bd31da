"""SenML unit symbols (RFC 8428 section 12.1, RFC 8798) in the words of UCUM, in which profiles state their units."""

from __future__ import annotations

# Symbols that both write alike are not listed. RFC 8428 counts "/" as a ratio of 1, and a relative humidity as per cent.
_UCUM = {
    "%EL": "%",
    "%RH": "%",
    "/": "1",
    "/100": "%",
    "/1000": "[ppth]",
    "1/min": "/min",
    "1/s": "/s",
    "Ah": "A.h",
    "B": "By",
    "B/s": "By/s",
    "EL": "s",
    "GB": "GBy",
    "Gy": "Gy",
    "KiB": "KiBy",
    "MB/s": "MBy/s",
    "VA": "V.A",
    "VAs": "V.A.s",
    "Wh": "W.h",
    "beat/min": "/min",
    "beats": "1",
    "count": "1",
    "dBW": "dB[W]",
    "kVA": "kV.A",
    "kVAh": "kV.A.h",
    "kWh": "kW.h",
    "kvar": "kV.A",
    "kvarh": "kV.A.h",
    "l": "L",
    "l/s": "L/s",
    "lat": "deg",
    "lon": "deg",
    "pH": "[pH]",
    "ppm": "[ppm]",
    "var": "V.A",
    "varh": "V.A.h",
    "vars": "V.A.s",
}


def ucum(symbol: str) -> str:
    """`"%RH"` as `"%"`; a symbol that is not known is taken for UCUM."""
    return _UCUM.get(symbol, symbol)


def senml(unit: str) -> str:
    """A SenML symbol that means the UCUM unit; the unit itself where there is no other."""
    wanted = _plain(unit)
    return next((symbol for symbol in _PREFERRED if _UCUM[symbol] == wanted), unit)


def means(symbol: str, unit: str) -> bool:
    """True where the SenML symbol and the UCUM unit are the same unit."""
    return ucum(symbol) == _plain(unit)


def _plain(unit: str) -> str:
    """UCUM knows two ways to write some units."""
    unit = unit.removeprefix("1") if unit.startswith("1/") else unit
    return {"l": "L", "l/s": "L/s"}.get(unit, unit)


_PREFERRED = sorted(set(_UCUM) - {"%EL", "%RH", "beat/min", "beats", "count", "EL", "lat", "lon"})
