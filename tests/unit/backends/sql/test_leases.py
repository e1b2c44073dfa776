"""The statement that finds who is due agrees with the functions that say who lives."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

from configkit.backends.sql import leases
from configkit.backends.sql.database import Moment
from configkit.backends.sql.schema import instance
from configkit.models import UNKNOWN
from tests.unit.backends.sql.conftest import Open

NOW = Moment(datetime(2026, 11, 26, tzinfo=UTC), 1000.0, "this boot")
INTERVAL = 30.0


def test_who_is_due_is_alive_and_was_not_checked_for_the_interval(opened: Open) -> None:
    database = opened().records._database  # type: ignore[union-attr]
    rows = []
    grid = itertools.product(
        ("this boot", "another"), (None, 10.0), (989.0, 1000.0, 1000.5, 1010.5, 1011.5), (None, 969.0, 970.0, 971.0, 1001.0, 1061.0), (True, False)
    )  # fmt: skip
    for number, (boot, ttl, expires, checked, has_check) in enumerate(grid):
        rows.append({
            "service_name": "svc", "instance_id": f"i{number}", "service_url": "http://10.0.0.1:1", "status": UNKNOWN, "weight": 1,
            "health_check_url": "http://10.0.0.1:1/health" if has_check else None, "metadata": {}, "registered_at": NOW.now,
            "ttl": ttl, "expires_mono": None if ttl is None else expires, "checked_mono": checked, "boot_id": boot,
        })  # fmt: skip
    with database.writing("fill") as connection:
        connection.execute(instance.insert(), rows)
        kept = connection.execute(instance.select()).all()
        found = {row.instance_id for row in connection.execute(leases.CLAIM, leases.asked(NOW, INTERVAL, 1000))}
    expected = {row.instance_id for row in kept if row.health_check_url is not None and leases.alive(row, NOW) and _rested(row)}
    assert found == expected
    assert 0 < len(found) < len(rows)


def _rested(row: Any) -> bool:
    if row.checked_mono is None or row.boot_id != NOW.boot:
        return True
    # A little later than our clock is another's check of just now; far later is a clock that was set back.
    return bool(NOW.mono - row.checked_mono >= INTERVAL or row.checked_mono - NOW.mono > leases.SKEW)
