"""The attribution-metric track: metrics of attribution maps, and what they are worth as metrics."""
