"""The bundle's manifest.json as typed structs, shared by the program that writes it and the one that trusts it."""

from __future__ import annotations

import msgspec

from agent.decide.baseline import Baseline
from agent.decide.calibration import Calibration
from agent.decide.states import OperatingStates
from agent.window.contract import Contract

SCHEMA = "stethos/bundle/1"


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the manifest; a key that is not named here is refused."""


class Model(Part, frozen=True, kw_only=True):
    """What runs: input `window` float32 [batch, channels, time], outputs `score` [batch], `channel_score` [batch, channels].

    A model that knows kinds of fault names them, normal operation first, and has a third output `class_probability` [batch, kinds].
    """

    family: str
    parameters: int
    opset: int
    kinds: list[str] = []


class Golden(Part, frozen=True, kw_only=True):
    """How close the outputs on this machine must come to those in golden.npz."""

    windows: int
    relative_tolerance: float
    absolute_tolerance: float


class Provenance(Part, frozen=True, kw_only=True):
    """Where the model comes from."""

    data_sha256: str
    stethos_version: str
    created: str  # RFC 3339
    seed: int
    metrics: dict[str, float]


class States(Part, frozen=True, kw_only=True):
    """Operating states that were found in training, and the calibrations of those that there was enough data of."""

    known: OperatingStates
    calibrations: dict[str, Calibration]


class Manifest(Part, frozen=True, kw_only=True):
    """Everything the agent must know of a model beside its graph."""

    schema: str
    name: str
    version: str
    counter: int  # grows with every release of this name; an older one is a downgrade
    model: Model
    contract: Contract
    calibration: Calibration
    channel_usual: list[float]  # median channel score on normal data, the unit of "times its usual level"
    states: States | None = None
    baseline: Baseline | None = None  # what is normal in engineering units, to hold an alarm's window against
    golden: Golden
    provenance: Provenance
