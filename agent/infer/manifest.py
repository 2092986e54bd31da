"""The bundle's manifest.json as typed structs, shared by the program that writes it and the one that trusts it. Pure."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from agent.decide.baseline import Baseline
from agent.decide.calibration import Calibration
from agent.decide.states import OperatingStates
from agent.errors import UNREADABLE, BundleError
from agent.infer.certificate import Variant
from agent.infer.engine_key import EngineFacts
from agent.infer.expiry import expiry_ns
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


class Encryption(Part, frozen=True, kw_only=True):
    """How the models and engines are encrypted; `key_id` names the key that opens them."""

    algorithm: Literal["AES-256-GCM"] = "AES-256-GCM"
    key_id: str


class Promise(Part, frozen=True, kw_only=True):
    """What the supplier promises of the target machine."""

    batch_1_ms: float  # median latency of one window


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
    expires: str | None = None  # RFC 3339; never where absent
    device_classes: list[str] = []  # boxes it is meant for; any where empty
    encryption: Encryption | None = None
    promise: Promise | None = None
    variants: dict[str, Variant] = {}  # by "fp16" and "int8": those in the bundle, and no others
    engines: dict[str, EngineFacts] = {}  # by "sm89" and so on: those in the bundle, and no others


class _Schema(msgspec.Struct, frozen=True):
    """The one key that is read before the rest, so that a newer manifest is called newer and not broken."""

    schema: str


def read_manifest(data: bytes) -> Manifest:
    """manifest.json as structs; raises BundleError where it is malformed, of another version, or contradicts itself."""
    try:
        schema = msgspec.json.decode(data, type=_Schema).schema
        if schema != SCHEMA:
            raise BundleError(
                f"manifest.json is {schema[:64]}, this agent reads {SCHEMA}; update the one that is older"
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except UNREADABLE as error:
        raise BundleError(f"manifest.json: {error}; export the bundle again") from error
    problem = _contract_problem(manifest) or _calibration_problem(manifest.calibration) or _release_problem(manifest)
    if problem is not None:
        raise BundleError(f"manifest.json: {problem}; export the bundle again")
    return manifest


def _contract_problem(manifest: Manifest) -> str | None:
    """What the types alone cannot say."""
    contract = manifest.contract
    channels = len(contract.channels)
    if channels == 0 or len(set(contract.names)) != channels:
        return "contract.channels must be one or more distinct names"
    if min(contract.window, contract.hop) < 1 or contract.hold_cells < 0 or contract.rate_hz <= 0:
        return "contract.window, hop and rate_hz must be positive"
    if len(manifest.channel_usual) != channels:
        return f"channel_usual has {len(manifest.channel_usual)} values for {channels} channels"
    if manifest.baseline is not None and not _fits(manifest.baseline, channels):
        return f"the baseline is not one of {channels} channels, or its bands do not fit their edges"
    return None


def _fits(baseline: Baseline, channels: int) -> bool:
    bands = len(baseline.band_edges_hz) - 1
    return (
        len(baseline.channels) == channels
        and bands >= 1
        and all(len(each.bands) == bands for each in baseline.channels)
    )


def _calibration_problem(calibration: Calibration) -> str | None:
    lasting = calibration.lasting
    if calibration.scale <= 0 or calibration.rate_per_hour <= 0 or calibration.shape < 0:
        return "calibration.scale and rate_per_hour must be positive, shape not negative"
    if lasting is not None and min(lasting.scale, lasting.rate_per_hour) <= 0:
        return "calibration.lasting scale and rate_per_hour must be positive"
    if not calibration.body_scores or len(calibration.body_scores) != len(calibration.body_rates):
        return "calibration.body_scores and body_rates must have one length above zero"
    return None


def _release_problem(manifest: Manifest) -> str | None:
    """What of name, counter, expiry, promise and tolerances cannot be meant."""
    if not manifest.name or manifest.counter < 1:
        return "name must not be empty, counter must be positive"
    if manifest.promise is not None and not (
        manifest.promise.batch_1_ms > 0 and math.isfinite(manifest.promise.batch_1_ms)
    ):
        return "promise.batch_1_ms must be positive"
    golden = manifest.golden
    if (
        min(golden.relative_tolerance, golden.absolute_tolerance) < 0
        or golden.absolute_tolerance + golden.relative_tolerance <= 0
    ):
        return "golden's tolerances must not be negative, nor both zero"
    try:
        if manifest.expires is not None:
            expiry_ns(manifest.expires)
    except ValueError as error:
        return f"expires: {error}"
    return None
