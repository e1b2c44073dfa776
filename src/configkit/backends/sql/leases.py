"""What the row of a registration means at a moment: who lives, who is due for a check, and who has died."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Double, Integer, String, and_, bindparam, case, func, or_, select

from configkit.backends.sql.database import Moment
from configkit.backends.sql.schema import Row, instance
from configkit.models import UNHEALTHY
from configkit.registry.lease import SLACK, is_alive

SKEW = 60.0
"""By how many seconds a check may be later than our own reading of the clock: another's that came just after it is a little."""


def lease_of(ttl: float | None, moment: Moment) -> dict[str, Any]:
    """Return the columns of a lease that begins at *moment*; *ttl* None: of none."""
    if ttl is None:
        return {"ttl": None, "expires_mono": None, "expires_at": None, "boot_id": moment.boot}
    return {
        "ttl": ttl,
        "expires_mono": moment.mono + ttl,
        "expires_at": moment.now + timedelta(seconds=ttl),
        "boot_id": moment.boot,
    }


def alive(row: Row, moment: Moment) -> bool:
    """Whether *row* has a lease that runs still, or needs none."""
    return row.ttl is None or is_alive(row.expires_mono, row.boot_id, row.ttl, now_mono=moment.mono, now_boot=moment.boot)


def dead(row: Row, unhealthy_for: float, moment: Moment) -> bool:
    """Whether the lease of *row* has ended, or it has none and was unhealthy for *unhealthy_for* seconds."""
    if row.ttl is not None:
        return not alive(row, moment)
    since = _since(row, row.unhealthy_mono, moment)
    return row.status == UNHEALTHY and since is not None and since >= unhealthy_for


def miscounted(row: Row, moment: Moment) -> bool:
    """Whether an instance is unhealthy since before the machine's last start, so that nobody knows for how long."""
    return row.ttl is None and row.status == UNHEALTHY and _since(row, row.unhealthy_mono, moment) is None


def _since(row: Row, mono: float | None, moment: Moment) -> float | None:
    """Return how long before *moment* the time *mono* of *row* was; None: never, or before the machine's last start."""
    if mono is None or row.boot_id != moment.boot:
        return None
    elapsed = moment.mono - mono
    return elapsed if elapsed >= 0 else None


def unchecked(moment: Moment) -> dict[str, Any]:
    """Return the columns of an instance that was never checked."""
    return {"checked_mono": None, "unhealthy_mono": None, "boot_id": moment.boot}


def carried(row: Row, moment: Moment) -> dict[str, Any]:
    """Return the columns that a new run of the machine leaves without meaning; a living lease is always of this run."""
    return {} if row.boot_id == moment.boot else unchecked(moment)


def asked(moment: Moment, interval: float, limit: int) -> dict[str, Any]:
    """Return the parameters of `DUE` and `CLAIM`."""
    return {"mono": moment.mono, "boot": moment.boot, "interval": interval, "at_most": limit}


def _is_due() -> ColumnElement[bool]:
    """What `is_alive` says of leases, and that the last check began long enough ago, or in no run of this machine."""
    mono, boot, interval = bindparam("mono", type_=Double), bindparam("boot", type_=String), bindparam("interval", type_=Double)
    row = instance.c
    living = or_(row.ttl.is_(None), and_(row.boot_id == boot, row.expires_mono > mono, row.expires_mono <= mono + row.ttl + SLACK))
    rested = or_(
        row.checked_mono.is_(None), row.boot_id != boot, row.checked_mono > mono + SKEW, row.checked_mono <= mono - interval
    )
    return and_(row.health_check_url.is_not(None), living, rested)


DUE = (
    select(instance)
    .where(_is_due())
    .order_by(case((instance.c.boot_id != bindparam("boot", type_=String), 0.0), else_=func.coalesce(instance.c.checked_mono, 0.0)))
    .limit(bindparam("at_most", type_=Integer))
)
"""Whose last check began long enough ago, the longest ago first."""
CLAIM = DUE.with_for_update(skip_locked=True)
"""The same, each for one caller only."""
