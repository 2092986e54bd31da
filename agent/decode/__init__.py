"""Decode: bytes to samples, as a firmware profile describes them. Pure: no byte sequence is an exception."""
