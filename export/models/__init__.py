"""Models: one architecture a file; each is a module from engineering units to score and channel scores."""
