"""What a kind of server has to say about itself; `postgres`, `redis`, `zookeeper`, `kafka` and `vault` are the five."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Protocol

from scripts.services.places import Place
from scripts.services.provision import Program


class Recipe(Protocol):
    """How one kind of server is installed, configured, started, asked and used; it keeps no state of its own."""

    @property
    def name(self) -> str:
        """What it is called on the command line."""

    @property
    def ports(self) -> tuple[str, ...]:
        """What it needs ports for."""

    @property
    def passwords(self) -> tuple[str, ...]:
        """What it needs passwords for."""

    @property
    def programs(self) -> tuple[Program, ...]:
        """The programs that must be there."""

    @property
    def stop_signal(self) -> signal.Signals:
        """What makes it end properly."""

    def install(self) -> None:
        """Fetch what is no Debian package; may take minutes; does nothing when it is there."""

    def user(self) -> str | None:
        """Return whom to run as, where the server refuses to run as the present user."""

    def prepare(self, place: Place) -> None:
        """Write what the server reads at its start, beside the certificate that is there; make its data at the first."""

    def command(self, place: Place) -> Sequence[str]:
        """Return the command that runs the server in the foreground; MissingSoftwareError says what is not here."""

    def state(self, place: Place) -> str:
        """Return "ready", or what else the server says in its own protocol, or "" if it does not answer now."""

    def open(self, place: Place) -> None:
        """Make the answering server usable: what is to exist in it exists afterwards."""

    def variables(self, place: Place) -> dict[str, str]:
        """Return the variables of env.template that lead to it, and others that its users want."""

    def clean(self, place: Place) -> None:
        """Remove what a killed server leaves outside its folders."""
