"""
Random numbers of configkit's own, for pauses and choices (never for secrets).

An application that seeds Python's own generator gets the same numbers with configkit as without.
"""

from __future__ import annotations

import os
from random import Random

_own = Random()  # noqa: S311  no secret
os.register_at_fork(after_in_child=_own.seed)

random = _own.random
"""Returns a number of at least 0 and below 1."""
uniform = _own.uniform
"""Returns a number between two others."""
bits = _own.getrandbits
"""Returns an integer of so many bits."""
