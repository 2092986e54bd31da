"""Rollout: another bundle for machines that are watched already, or another configuration; tried beside the one that runs, exchanged without a gap, gone back from."""
