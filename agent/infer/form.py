"""What exactly is handed to ONNX Runtime for a bundle: which bytes, on which providers, with which options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.infer import plugins, providers
from agent.infer.agreement import FP32
from agent.infer.bundle import Bundle
from agent.infer.engine_options import EngineOptions
from agent.infer.plan import CANDIDATES, Plan
from agent.infer.providers import TENSORRT_RTX
from agent.infer.settings import InferenceSettings


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """`model` is ONNX; `asked` are the providers, best first, of those that were `wanted`; `options` are by provider.

    `engine`: a TensorRT engine runs, which takes `most` windows at once.
    """

    variant: str
    model: bytes
    wanted: tuple[str, ...]
    asked: tuple[str, ...]
    options: Mapping[str, Mapping[str, str]]
    engine: bool
    most: int = CANDIDATES[-1]


def form_of(bundle: Bundle, settings: InferenceSettings, plan: Plan, engine: EngineOptions | None) -> Form:
    """The `engine` where there is one, else the form that `plan` names; raises InferenceError where a required accelerator is not to be had."""
    wanted = tuple(providers.choose(settings.device, plugins.available(settings.device), required=settings.required))
    if engine is None:
        model = bundle.model if plan.variant == FP32 else bundle.variants[plan.variant]
        return Form(plan.variant, model, wanted, tuple(providers.meanwhile(wanted)), {}, engine=False)
    # An EPContext node is an operator of its provider alone, so that no other can stand in for it.
    alone = engine.provider == TENSORRT_RTX
    return Form(
        "tensorrt-rtx" if alone else FP32,
        engine.model,
        wanted,
        (engine.provider,) if alone else wanted,
        {engine.provider: engine.options},
        engine=True,
        most=engine.key.max_batch,
    )
