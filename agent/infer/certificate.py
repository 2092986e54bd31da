"""The parity certificate: how closely each form of a model follows PyTorch, and whether its alarms are the same. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.errors import UNREADABLE, BundleError

SCHEMA = "stethos/parity/1"
# The share of windows on the same side of the threshold that a variant must reach to be shipped.
LEAST_AGREEMENT = 0.999

_Text = Annotated[str, Meta(max_length=500)]
_Count = Annotated[int, Meta(ge=0, le=10**9)]
_Error = Annotated[float, Meta(ge=0)]
_Positive = Annotated[float, Meta(gt=0)]
_MOST = 32  # of anything that is listed

Form = Literal["fp32", "fp16", "int8"]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the certificate; a key that is not named here is refused."""


class Variant(_Part, frozen=True, kw_only=True):
    """What the manifest says of a variant: how close its outputs must come to golden.npz, and where it is worth running.

    At each of `budgets_per_hour` it must also decide every golden window as golden.npz does. `speed` is by execution provider: how many
    times as fast as fp32 it was there.
    """

    relative_tolerance: _Positive
    absolute_tolerance: _Positive
    budgets_per_hour: Annotated[list[_Positive], Meta(min_length=1, max_length=_MOST)]
    speed: Annotated[dict[_Text, _Positive], Meta(max_length=_MOST)]


class WindowSet(_Part, frozen=True, kw_only=True):
    """Windows that were tried: how many and what they were."""

    name: _Text
    windows: Annotated[int, Meta(ge=1, le=10**9)]
    what: _Text


class Budget(_Part, frozen=True, kw_only=True):
    """A budget of false alarms, and the lowest score that it flags; None where no score is strange enough."""

    words: _Text
    per_hour: _Positive
    threshold: float | None


class Spread(_Part, frozen=True, kw_only=True):
    """Median, 99 % quantile and worst of differences; one that is no number counts as the largest float32."""

    p50: _Error
    p99: _Error
    max: _Error


class Errors(_Part, frozen=True, kw_only=True):
    """Of one output against PyTorch's: absolute in its unit, relative to PyTorch's value."""

    absolute: Spread
    relative: Spread


class OnSet(_Part, frozen=True, kw_only=True):
    """What a form did on one set of windows: its errors by output, and at each budget how many windows it decided otherwise."""

    errors: Annotated[dict[_Text, Errors], Meta(min_length=1, max_length=8)]
    differing: Annotated[list[_Count], Meta(max_length=_MOST)]


class Comparison(_Part, frozen=True, kw_only=True):
    """One form of the model on one execution provider, against PyTorch in float32 on a processor, by set of windows.

    `run_ms` is the median time of one run at the certificate's batch, `speed` how many times as fast as fp32 on the same provider in the same
    rounds.
    """

    form: Form
    provider: _Text
    sets: Annotated[dict[_Text, OnSet], Meta(max_length=_MOST)]
    run_ms: _Positive
    speed: _Positive


class Parity(_Part, frozen=True, kw_only=True):
    """The certificate, `parity.json` of a bundle.

    `model_sha256` is of the fp32 graph as it runs, before any encryption; `verdicts` says of each variant that was asked for why it was
    shipped or not.
    """

    schema: Annotated[str, Meta(max_length=64)]
    created: _Text  # RFC 3339
    model_sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    machine: _Text
    versions: Annotated[dict[_Text, _Text], Meta(max_length=_MOST)]
    windows: Annotated[list[WindowSet], Meta(min_length=1, max_length=_MOST)]
    budgets: Annotated[list[Budget], Meta(min_length=1, max_length=_MOST)]
    batch: Annotated[int, Meta(ge=1, le=10**6)]
    comparisons: Annotated[list[Comparison], Meta(min_length=1, max_length=_MOST)]
    verdicts: Annotated[dict[Form, _Text], Meta(max_length=8)] = {}

    def agreement(self, comparison: Comparison) -> float:
        """The least share of windows decided as PyTorch's score decides them, over every set and budget."""
        return min(
            1 - differing / each.windows for each in self.windows for differing in comparison.sets[each.name].differing
        )


def write(parity: Parity) -> bytes:
    """parity.json of `parity`."""
    return msgspec.json.format(msgspec.json.encode(parity), indent=2)


def read(data: bytes) -> Parity:
    """parity.json as a certificate; raises BundleError for anything that is none or contradicts itself."""
    try:
        parity = msgspec.json.decode(data, type=Parity)
    except UNREADABLE as error:
        raise BundleError(f"parity.json: {error}; export the bundle again") from error
    for problem in _problems(parity):
        raise BundleError(f"parity.json: {problem}; export the bundle again")
    return parity


def _problems(parity: Parity) -> Iterator[str]:
    """What the types alone cannot say."""
    if parity.schema != SCHEMA:
        yield f"is {parity.schema}, this agent reads {SCHEMA}"
    sizes = {each.name: each.windows for each in parity.windows}
    if len(sizes) != len(parity.windows):
        yield "names a set of windows twice"
    if not any(each.form == "fp32" for each in parity.comparisons):
        yield "does not compare fp32"
    for comparison in parity.comparisons:
        where = f"{comparison.form} on {comparison.provider}"
        if set(comparison.sets) != set(sizes):
            yield f"{where} was tried on {sorted(comparison.sets)}, not on {sorted(sizes)}"
            continue
        for name, found in comparison.sets.items():
            if len(found.differing) != len(parity.budgets) or max(found.differing) > sizes[name]:
                yield f"{where}: {name} needs a count for each budget, of {sizes[name]} windows at most"
            if not all(_ascends(spread) for each in found.errors.values() for spread in (each.absolute, each.relative)):
                yield f"{where}: errors on {name} do not ascend"


def _ascends(spread: Spread) -> bool:
    return spread.p50 <= spread.p99 <= spread.max and math.isfinite(spread.max)
