"""
How much one flag may hold, so that every one that is accepted is decided in bounded time.

Costs are upper bounds in microseconds of deciding one condition on an ordinary machine; `benchmarks.worst` measures them.
"""

from __future__ import annotations

MAX_VARIANTS = 64
MAX_VARIANT_BYTES = 64 * 1024
"""All variants of a flag together, as JSON."""
MAX_RULES = 100
MAX_DEPTH = 5
"""How deep conditions may be nested; a plain condition is of depth 1."""
MAX_VALUES = 10_000
"""What one condition may compare with."""
MAX_TEXT = 1024
"""Characters of a text to compare with; a longer text of a context matches nothing."""
MAX_PATTERN = 256
MAX_LIST = 16
"""Items of a list in a context; a longer one matches nothing."""
MAX_ATTRIBUTES = 1000
"""Of a context that comes over the network."""
TOO_MANY_ATTRIBUTES = f"a context has at most {MAX_ATTRIBUTES} attributes; send those that rules look at"
MAX_PREREQUISITES = 16
MAX_DEPENDENCIES = 32
"""Flags and segments that are decided for one flag, counted as often as each is."""
MAX_RAMP = 100
MAX_TAGS = 32
MAX_TAG = 64
MAX_WEIGHTS = 2**31 - 1
"""The sum of the weights of a split, as flagd has it."""

COSTS = {
    "equals": 2.5,
    "in": 2.5,
    "contains": 2.0,
    "starts_with": 0.6,
    "ends_with": 0.6,
    "less_than": 0.8,
    "less_or_equal": 0.6,
    "greater_than": 0.6,
    "greater_or_equal": 0.6,
    "before": 0.7,
    "after": 0.7,
    "semver_equals": 5.0,
    "semver_less_than": 5.0,
    "semver_greater_than": 5.0,
    "matches": 8.0,
    "exists": 0.2,
    "in_cidr": 2.0,
    "in_segment": 8.0,
}
"""By operator, for each value that is compared one by one, and for each segment."""
MAX_COST = 32.0
"""Of the conditions of one rule."""
MAX_SEGMENT_COST = COSTS["in_segment"]
"""Of all rules of a segment."""
