"""Says which extra to install where the workstation's libraries are missing."""

from __future__ import annotations

import importlib.util

from agent.errors import ConfigError, Problem

_NEEDED = ("jinja2", "torch", "onnx", "onnxscript", "onnxruntime", "optuna", "pyarrow", "scipy", "sklearn")


def require_training() -> None:
    """Raise ConfigError unless everything that training, judging and exporting need is installed."""
    if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
        what = f"{', '.join(missing)} not installed"
        raise ConfigError([Problem("stethos model", what, "install stethos[train] and stethos[cpu]")])
