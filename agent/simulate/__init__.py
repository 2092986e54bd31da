"""Simulated devices: physics or data in, the bytes of a profile's wire format out, with faults on a schedule."""
