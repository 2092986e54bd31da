"""Recordings: what the pipeline took, byte for byte, in a bounded ring of files, and the way back from them."""
