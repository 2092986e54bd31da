"""Configuration: the operator's file, read, checked against the world, and explained where it is wrong."""
