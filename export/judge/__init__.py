"""Judging: each metric in its own file, all on plain arrays, and one protocol that names itself."""
