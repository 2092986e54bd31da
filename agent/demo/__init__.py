"""Demo: the main job on real process data, on one machine, told as it happens."""
