"""Models: one architecture a file; each is a module from engineering units to score and channel scores."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:  # the names must be known where torch is not installed
    from export.models.family import Family

# name: the module that holds its FAMILY
FAMILIES = {
    "conv-autoencoder": "export.models.conv_autoencoder",
    "cusum": "export.models.cusum",
    "cycle-neighbours": "export.models.cycle_neighbours",
    "dense-autoencoder": "export.models.dense_autoencoder",
    "ensemble": "export.models.ensemble",
    "ewma": "export.models.ewma",
    "fault-classifier": "export.models.fault_classifier",
    "fault-probability": "export.models.fault_probability",
    "few-labels": "export.models.few_labels",
    "gan": "export.models.gan",
    "gru-autoencoder": "export.models.gru_autoencoder",
    "gru-forecast": "export.models.gru_forecast",
    "image-cnn": "export.models.image_cnn",
    "isolation-forest": "export.models.isolation_forest",
    "kmeans": "export.models.kmeans",
    "lstm-autoencoder": "export.models.lstm_autoencoder",
    "lstm-forecast": "export.models.lstm_forecast",
    "mahalanobis": "export.models.mahalanobis",
    "mixture": "export.models.mixture",
    "mlp-classifier": "export.models.mlp_classifier",
    "mlp-forecast": "export.models.mlp_forecast",
    "nearest-subsequence": "export.models.nearest_subsequence",
    "one-class-svm": "export.models.one_class_svm",
    "patch-memory": "export.models.patch_memory",
    "patch-transformer": "export.models.patch_transformer",
    "pca": "export.models.pca",
    "random-forest": "export.models.random_forest",
    "range-record": "export.models.range_record",
    "robust-z": "export.models.robust_z",
    "spectral-bands": "export.models.spectral_bands",
    "spectrogram-classifier": "export.models.spectrogram_classifier",
    "spectrogram-cnn": "export.models.spectrogram_cnn",
    "svm": "export.models.svm",
    "tcn-forecast": "export.models.tcn_forecast",
    "variational-autoencoder": "export.models.variational_autoencoder",
    "vector-autoregression": "export.models.vector_autoregression",
    "window-density": "export.models.window_density",
    "zscore": "export.models.zscore",
}


def registered(name: str) -> Family:
    """What the registry knows of `name`, one of FAMILIES."""
    return cast("Family", importlib.import_module(FAMILIES[name]).FAMILY)
