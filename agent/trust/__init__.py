"""Trust: whose bundles may run on this box, and which; how keys are exchanged; what the box must remember of both. Pure."""
