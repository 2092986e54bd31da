"""The serial ports of this box: which there are, whose they are, and which device a port must be."""
