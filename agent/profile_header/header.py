"""The C99 header of a binary profile: struct, encoder and self-test, without heap, for any byte order of the processor."""

from __future__ import annotations

from collections.abc import Sequence

from agent.decode.golden import Golden
from agent.decode.layout import Layout
from agent.decode.schema import Profile
from agent.errors import ConfigError, Problem
from agent.profile_header.checksum import checksum_code
from agent.profile_header.framing import framing_code
from agent.profile_header.names import Names
from agent.profile_header.record import record_code
from agent.profile_header.self_test import self_test_code

_BEGIN = """\
/* {model}, by {maker}: one {what} to the bytes of one frame.
 *
 * Written from the firmware profile {name} by `stethos profile header {name}`; change the profile, not this file.
 * Layout: {source}
 *
 *     {p}_t record = {{0}};
 *     uint8_t frame[{P}_FRAME_BYTES];
 *     size_t size = {p}_encode(&record, frame);    then send `size` bytes
 *
 * {p}_self_test() returns 0 where this compiler and processor make the bytes that the agent decodes.
 */
#ifndef {P}_H
#define {P}_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
"""


def c_header(name: str, profile: Profile, golden: Golden | None) -> str:
    """The text of NAME.h; raises ConfigError where the profile has no binary record to encode.

    The self-test holds the golden frames; without any, one record of counting bytes as the agent's own encoder frames it.
    """
    if profile.binary is None or profile.transport == "modbus":
        raise ConfigError(
            [Problem(name, "its frames are no packed binary record", "headers are for [binary] profiles")]
        )
    names, layout = Names(name), Layout(profile.binary)
    what = "sample" if layout.count == 1 else f"block of {layout.count} samples"
    begin = _BEGIN.format(
        p=names.prefix, P=names.macro, name=name, what=what, model=_plain(profile.model), maker=_plain(profile.maker),
        source=_plain(profile.source),
    )  # fmt: skip
    parts: Sequence[str] = [
        begin,
        record_code(names, profile, layout),
        checksum_code(names, profile),
        framing_code(names, profile, layout),
        self_test_code(names, profile, layout, golden),
        "#endif\n",
    ]
    return "\n".join(part for part in parts if part)


def _plain(text: str) -> str:
    """Text that can stand in a C comment."""
    return text.replace("*/", "* /").replace("/*", "/ *").replace("\n", " ")
