"""Firmware profiles that ship with Stethos: one TOML file for each wire format of a sensor node."""
