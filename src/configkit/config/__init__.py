"""Configuration: cached reads, compare-and-set writes, layering, and binding to a model."""
