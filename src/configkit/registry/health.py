"""What the results of health checks make of an instance's status: hysteresis, as a pure function."""

from __future__ import annotations

from configkit.models import DRAINING, HEALTHY, UNHEALTHY, Status

RUN = 2
"""So many equal results in a row overturn a healthy or unhealthy status."""


def next_status(current: Status, *, ok: bool, run: int) -> Status:
    """
    Return the status after a check.

    The first result decides about an instance that was never checked; a healthy or unhealthy one changes with the
    second contrary result in a row; a draining one stays so.

    Args:
        ok: Whether the check succeeded.
        run: How many checks in a row, this one included, had this result.
    """
    if current == DRAINING:
        return current
    if current in (HEALTHY, UNHEALTHY) and run < RUN:
        return current
    return HEALTHY if ok else UNHEALTHY


def contradicts(status: Status, *, ok: bool) -> bool:
    """Return whether a check's result speaks against *status*, so that another check should decide soon."""
    return status == (UNHEALTHY if ok else HEALTHY)
