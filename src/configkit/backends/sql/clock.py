"""The clocks that leases run on: wall time for people, boot id and monotonic time for decisions."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from configkit.models import utcnow
from configkit.registry.lease import boot_id


@dataclass(frozen=True, slots=True)
class Clock:
    """
    What time it is.

    Attributes:
        now: The wall clock, UTC: what is shown.
        monotonic: Seconds that no clock change touches and that all processes of the machine share.
        boot: The run of the machine that *monotonic* belongs to.
    """

    now: Callable[[], datetime] = utcnow
    monotonic: Callable[[], float] = time.monotonic
    boot: Callable[[], str] = boot_id
