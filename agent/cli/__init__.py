"""Command line: one small file a command; each imports its heavy parts inside."""
