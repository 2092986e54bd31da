"""What was learnt of a machine on its own box: offsets that bring its channels to what the model knows, and its own calibration."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from agent.decide.baseline import Baseline, ChannelBaseline
from agent.decide.calibration import Calibration
from agent.errors import UNREADABLE
from agent.types import Float32Array

# A level within what the model calls usual, and a spread within this factor of it, are left as they are: which of its usual levels a
# machine is at may follow from what it is doing, and is no matter of how its sensor is mounted.
_CALM = 1.5
# Beyond these it is another machine, another sensor or a fault, and no offset makes it the one that the model knows.
_MOST_SCALE = 4.0
_MOST_SHIFT = 10.0  # in widths of the usual band


class Correction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the model sees of a channel is scale * value + offset."""

    scale: float = 1.0
    offset: float = 0.0


class Commissioning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The result for one machine, good for one bundle alone. `corrections`, `channel_usual` and `baseline` are in model order; the baseline is
    of the channels as they are read, before any correction.
    """

    schema: Literal["stethos.commissioning/1"] = "stethos.commissioning/1"
    machine: str
    bundle: str  # name and version, for people
    bundle_sha256: str
    channels: list[str]
    by: str
    comment: str
    created: str  # RFC 3339
    from_ns: int
    to_ns: int
    windows: int
    corrections: list[Correction]
    calibration: Calibration
    calibrations: dict[str, Calibration] = {}  # of operating states that there was enough data of
    states: list[str] = []  # that were seen; any other is unknown
    channel_usual: list[float]
    baseline: Baseline
    remarks: list[str]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    commissioning: msgspec.Raw
    sha256: str


def encode(commissioning: Commissioning) -> bytes:
    """The bytes of its file, with a hash that shows damage; it is no signature."""
    body = msgspec.json.encode(commissioning)
    return msgspec.json.encode(_File(msgspec.Raw(body), hashlib.sha256(body).hexdigest()))


def decode(data: bytes) -> Commissioning:
    """Read a file's bytes; raises ValueError where they are not as they were written."""
    try:
        file = msgspec.json.decode(data, type=_File)
        if digest_of(data) != file.sha256:
            raise ValueError("its bytes do not give its hash: it was altered or damaged")
        return msgspec.json.decode(file.commissioning, type=Commissioning)
    except UNREADABLE as error:
        raise ValueError(f"it cannot be read: {error}") from error


def digest_of(data: bytes) -> str:
    """The hash by which a file is named, in health for instance."""
    return hashlib.sha256(msgspec.json.decode(data, type=_File).commissioning).hexdigest()


def misfit(commissioning: Commissioning, machine: str, bundle_sha256: str, channels: Sequence[str]) -> str | None:
    """Why it is not for this machine with this bundle; None where it is."""
    if commissioning.bundle_sha256 != bundle_sha256:
        return f"it was made with another bundle, {commissioning.bundle}"
    if commissioning.machine != machine:
        return f"it is of the machine '{commissioning.machine}'"
    if commissioning.channels != list(channels):
        return f"it is of other channels: {', '.join(commissioning.channels)}"
    return None


def corrections(site: Baseline, known: Baseline, names: Sequence[str]) -> list[Correction]:
    """What brings the channels on site to the level and spread that the model knows.

    Raises ValueError, which names every such channel, where a channel is too far from them.
    """
    found, problems = [], []
    for name, here, there in zip(names, site.channels, known.channels, strict=True):
        try:
            found.append(_correction(here, there))
        except ValueError as error:
            problems.append(f"{name} {error}")
    if problems:
        raise ValueError("; ".join(problems))
    return found


def _correction(here: ChannelBaseline, there: ChannelBaseline) -> Correction:
    scale = 1.0
    times = _ratio(here.spread, there.spread)
    if not 1 / _CALM <= times <= _CALM:
        if not 1 / _MOST_SCALE <= times <= _MOST_SCALE:
            raise ValueError(f"varies {times:.3g} times as much as the model knows it ({there.spread:.3g})")
        scale = 1 / times
    target = here.middle
    if not there.low <= here.middle <= there.high:
        width = max(there.high - there.low, 2 * there.spread)
        if abs(here.middle - there.middle) > _MOST_SHIFT * width:
            usual = f"{there.low:.4g} to {there.high:.4g}"
            raise ValueError(f"reads {here.middle:.4g}, far from the {usual} that the model knows")
        target = there.middle
    return Correction(scale=scale, offset=target - scale * here.middle)


def _ratio(here: float, there: float) -> float:
    if here == there:
        return 1.0
    return here / there if there > 0 else float("inf")


def affine(corrections_: Sequence[Correction]) -> tuple[Float32Array, Float32Array] | None:
    """Scale and offset [channels, 1] to apply to windows; None where they change nothing."""
    if all(each == Correction() for each in corrections_):
        return None
    scale = np.array([[each.scale] for each in corrections_], np.float32)
    return scale, np.array([[each.offset] for each in corrections_], np.float32)
