"""Flags of other systems as flags of configkit: each format in a module, all with one function ``read``."""
