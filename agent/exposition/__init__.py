"""Exposition: how the agent and its devices fare, for Prometheus, in a file that node_exporter reads; nothing listens."""
