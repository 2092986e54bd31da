"""The command line's way to a running agent: a Unix socket on the box, no port on the network."""
