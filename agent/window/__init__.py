"""Window: samples of several devices on one grid, cut into windows; bad data is marked, never guessed. Pure."""
