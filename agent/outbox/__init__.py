"""Outbox: what must reach the broker waits here on disk, bounded, the important first."""
