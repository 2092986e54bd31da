"""Bundles: those that this box keeps, two of each name; which one runs, what is tried, what is gone back to."""
