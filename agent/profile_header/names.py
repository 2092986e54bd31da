"""Names of a profile and its fields as C identifiers."""

from __future__ import annotations

import re

_KEYWORDS = frozenset(  # of C99
    """
    auto break case char const continue default do double else enum extern float for goto if inline int long register restrict
    return short signed sizeof static struct switch typedef union unsigned void volatile while
    """.split()  # noqa: SIM905 - as a list of strings it would be longer and say no more
)


class Names:
    """Everything that a header defines begins with `prefix`, macros with `macro`."""

    def __init__(self, profile: str) -> None:
        self.prefix = f"stethos_{_identifier(profile)}"
        self.macro = self.prefix.upper()


def member(field: str) -> str:
    """The struct member of a field."""
    name = _identifier(field)
    return f"_{name}" if name in _KEYWORDS or name[:1].isdigit() else name


def _identifier(text: str) -> str:
    return re.sub(r"[^0-9A-Za-z_]", "_", text)
