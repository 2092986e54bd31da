"""What was measured of a bundle on this box, kept in the state folder: believed only for the same models on the same hardware."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import msgspec
import onnxruntime as ort
from msgspec import Meta

from agent.errors import UNREADABLE, InferenceError
from agent.infer.agreement import FP32
from agent.infer.bundle import Bundle
from agent.infer.gpu import Gpu, read_gpu
from agent.infer.plan import CANDIDATES, Plan
from agent.infer.settings import Device, InferenceSettings

_SCHEMA = "stethos/tuned/1"
_CPUINFO = Path("/proc/cpuinfo")
_LONGEST_BYTES = 65_536
_Size = Annotated[int, Meta(ge=1, le=CANDIDATES[-1])]
_Milliseconds = Annotated[float, Meta(gt=0)]


class Hardware(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that speeds depend on; where any of it is another, they say nothing."""

    processor: str
    cores: int
    gpu: str | None
    driver: str | None
    onnxruntime: str
    device: Device
    threads: int

    def differs(self, other: Hardware) -> str:
        """What of `other` is not as here, for people; empty where they are alike."""
        pairs = {name: (getattr(other, name), getattr(self, name)) for name in self.__struct_fields__}
        return ", ".join(f"{name} was {then}, is {now}" for name, (then, now) in pairs.items() if then != now)


class Tuned(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`milliseconds` one batch takes, by variant and by batch size; `left_out` says why a variant was not tried to the end."""

    schema: str = _SCHEMA
    models_sha256: str
    hardware: Hardware
    measured: str  # RFC 3339
    provider: str
    variant: str
    batch_sizes: Annotated[list[_Size], Meta(min_length=1, max_length=len(CANDIDATES))]
    milliseconds: dict[str, dict[str, _Milliseconds]]
    left_out: dict[str, str] = {}


def hardware_of(settings: InferenceSettings, gpu_of: Callable[[], Gpu | None] = read_gpu) -> Hardware:
    """The box's own, as `settings` have it used; no GPU is asked for where only the processor counts."""
    gpu = None if settings.device == "cpu" else gpu_of()
    return Hardware(
        processor=_processor(_CPUINFO),
        cores=len(os.sched_getaffinity(0)),
        gpu=None if gpu is None else gpu.name,
        driver=None if gpu is None else gpu.driver,
        onnxruntime=ort.__version__,
        device=settings.device,
        threads=settings.threads,
    )


def models_sha256(bundle: Bundle) -> str:
    """Of every form of the model; a bundle that was only signed anew keeps it."""
    digest = hashlib.sha256()
    for name, model in [(FP32, bundle.model), *sorted(bundle.variants.items())]:
        digest.update(f"{name} {hashlib.sha256(model).hexdigest()}\n".encode())
    return digest.hexdigest()


def recall(bundle: Bundle, settings: InferenceSettings, gpu_of: Callable[[], Gpu | None] = read_gpu) -> Plan:
    """The plan that was measured here; the usual one, with the reason in `basis`, where there is none that can be believed."""
    if settings.cache is None:
        return Plan()
    digest = models_sha256(bundle)
    try:
        data = _file(settings.cache, digest).read_bytes()[:_LONGEST_BYTES]
        tuned = msgspec.json.decode(data, type=Tuned)
    except FileNotFoundError:
        return Plan()
    except (*UNREADABLE, OSError) as error:
        return _stale(f"cannot be read: {error}")
    if problem := _problem(tuned, bundle, digest):
        return _stale(problem)
    if changed := hardware_of(settings, gpu_of).differs(tuned.hardware):
        return _stale(changed)
    return Plan(tuned.variant, tuple(tuned.batch_sizes), f"tuned {tuned.measured[:10]}")


def remember(tuned: Tuned, cache: Path) -> Path:
    """Write it for the next start, whole or not at all; raises InferenceError where the disk refuses."""
    path = _file(cache, tuned.models_sha256)
    beside = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(tuned), indent=2))
        beside.replace(path)
    except OSError as error:
        raise InferenceError(
            f"{path} cannot be written: {error.strerror}; run this as the user that runs stethos"
        ) from error
    return path


def _stale(why: str) -> Plan:
    return Plan(basis=f"its tuning is stale and not used ({why}); run `stethos bundle tune` again", stale=True)


def _problem(tuned: Tuned, bundle: Bundle, digest: str) -> str | None:
    sizes = tuned.batch_sizes
    if tuned.schema != _SCHEMA or tuned.models_sha256 != digest:
        return f"it is {tuned.schema} of other models"
    if sizes != sorted(set(sizes), reverse=True) or sizes[-1] != 1:
        return "its batch sizes do not fall to 1"
    if tuned.variant != FP32 and tuned.variant not in bundle.variants:
        return f"the bundle has no variant {tuned.variant}"
    return None


def _file(cache: Path, digest: str) -> Path:
    return cache / "tuned" / f"{digest[:32]}.json"


def _processor(cpuinfo: Path) -> str:
    """The first name that the kernel gives it; Arm's cores have none and are told by their part numbers."""
    fields = _first_fields(cpuinfo)
    return fields.get("model name") or " ".join(fields.get(key, "") for key in ("CPU implementer", "CPU part")).strip()


def _first_fields(cpuinfo: Path) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for line in cpuinfo.read_text().splitlines():
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    return found
