"""What a server does so that nodes and records agree: a function of both."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """
    Paths of nodes.

    Attributes:
        adopt: To create: recorded, and held by nobody.
        rewrite: Held here, and saying something else than the record.
        release: Held here, and recorded no more.
    """

    adopt: frozenset[str]
    rewrite: frozenset[str]
    release: frozenset[str]


def planned(*, recorded: Mapping[str, bytes], held: Mapping[str, bytes], present: AbstractSet[str]) -> Plan:
    """
    Return what is to be done by this server.

    What other servers hold is theirs to mend, and what processes hold for themselves is nobody else's.

    Args:
        recorded: What the node of each recorded instance has to say.
        held: What each node says that this server holds.
        present: The nodes that are there, whoever's they are.
    """
    return Plan(
        adopt=frozenset(recorded.keys() - present - held.keys()),
        rewrite=frozenset(path for path in recorded.keys() & held.keys() if recorded[path] != held[path]),
        release=frozenset(held.keys() - recorded.keys()),
    )
