"""Infer: the signed bundle, the execution provider that really runs it, and the shared session."""
