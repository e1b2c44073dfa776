"""The handlers, one module for each group of operations: parse, one call of the core, serialise."""
