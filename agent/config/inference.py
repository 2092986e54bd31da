"""How the checked configuration has models run."""

from __future__ import annotations

from pathlib import Path

from agent.config.schema import Inference
from agent.infer.settings import InferenceSettings


def inference_settings(inference: Inference, deadline_ns: int, state: Path) -> InferenceSettings:
    """What every session is loaded with; what is built and measured for this box lies in `inference` of the `state` folder."""
    return InferenceSettings(
        device=inference.device,
        required=inference.required,
        threads=inference.threads,
        deadline_ns=deadline_ns,
        isolate=inference.isolate,
        cache=state / "inference",
    )
