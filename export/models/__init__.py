"""Models: one architecture a file; each is a module from engineering units to score and channel scores."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:  # the names must be known where torch is not installed
    from export.models.detector import Detector

FAMILIES = {"conv-autoencoder": "export.models.conv_autoencoder", "pca": "export.models.pca"}


def build(family: str, channels: int, window: int) -> Detector:
    """An untrained model of this family for windows [batch, channels, window]."""
    return cast("Detector", importlib.import_module(FAMILIES[family]).build(channels, window))
