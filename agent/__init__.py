"""Stethos on the box: sensor bytes in, calibrated alarms out. Never imports torch, onnx or export."""

__version__ = "0.1.0"
