"""Benchmarks: each measures one group of docs/figures.json on this machine, beside the bare library where there is one."""
