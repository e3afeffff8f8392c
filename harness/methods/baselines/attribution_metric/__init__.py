"""Metrics of attribution maps that come with the harness, as methods."""
