"""
Leases by boot id and monotonic time: a clock that jumps neither ends nor prolongs one.

A lease is (end on the monotonic clock, boot id, length). The monotonic clock is one for all processes of a running
kernel and starts anew with the next boot, so an end is only comparable under the same boot id.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from configkit.errors import InvalidDocumentError

SHORTEST, LONGEST = 5.0, 3600.0
"""Bounds of a lease, in seconds."""
DEFAULT_SECONDS = 30.0
"""The lease of who names none and has no health check."""
SELF_REGISTERED_SECONDS = 5.0
"""The lease of a process that renews it by itself, so that a killed one is gone within 7 s."""

SLACK = 1.0
"""Seconds by which the end of a lease may lie further away than its length."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@lru_cache(maxsize=1)
def boot_id() -> str:
    """
    Return what names this boot of the machine.

    Where the kernel does not tell (anything but Linux) it is the constant ``unknown``: after a reboot, which sets the
    monotonic clock back, a lease of before is then recognised by an end further away than its whole length.
    """
    try:
        return _BOOT_ID.read_bytes().decode("ascii").strip() or "unknown"
    except (OSError, UnicodeDecodeError):
        return "unknown"


def is_alive(expires_mono: float, boot_id: str, ttl: float, *, now_mono: float, now_boot: str) -> bool:
    """
    Return whether a lease of *ttl* seconds that ends at *expires_mono*, written in boot *boot_id*, still runs.

    An end later than a whole length (and a second) from now cannot be of this boot: such a lease is dead.
    """
    return boot_id == now_boot and now_mono < expires_mono <= now_mono + ttl + SLACK


def lease_seconds(ttl_seconds: float | None, has_health_check: bool) -> float | None:  # noqa: FBT001 (a fact, not a switch)
    """
    Return the length of the lease that a registration asks for; None: a checker, not a lease, owns its life.

    Raises:
        InvalidDocumentError: *ttl_seconds* is not a number from 5 to 3600.
    """
    if ttl_seconds is None:
        return None if has_health_check else DEFAULT_SECONDS
    number = isinstance(ttl_seconds, int | float) and not isinstance(ttl_seconds, bool)
    if not number or not SHORTEST <= ttl_seconds <= LONGEST:
        raise InvalidDocumentError("a number of seconds from 5 to 3600", pointer="/ttl_seconds")
    return float(ttl_seconds)
