"""Command line of the workstation: `stethos model ...`."""
