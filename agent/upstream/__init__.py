"""Everything that is said to the broker: where, in what form, and over which connection."""
