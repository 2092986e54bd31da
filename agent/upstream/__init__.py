"""Upstream: the one connection to the broker; topics and payloads are its contract with consumers."""
