"""``configkit flag explain`` and ``configkit flag stale``: why a flag is what it is, and which flags have had their day."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Annotated

import typer

from configkit.cli.commands import command
from configkit.cli.flag_reads import reads_of
from configkit.cli.flags import Attributes, Context, Name, User, context_of, evaluation_document, exit_as
from configkit.cli.opening import Session
from configkit.flags.model import FLAG, Flag
from configkit.models import utcnow


def add_to(group: typer.Typer) -> None:
    """Add the commands to *group*."""
    command(group, "explain", without=["service"])(explain)
    command(group, "stale", without=["service"])(stale)


_MARKS = {True: "yes", False: "no ", None: "   "}


def explain(session: Session, name: Name, user: User = None, given: Context = None, attribute: Attributes = None) -> None:
    """Tell step by step why a user gets what they get of the flag NAME; it counts as no use of the flag."""
    with session.kit() as kit:
        kit.flag_sets.ensure(session.environment)
        found = kit.flags.explain(name, user_id=user, context=context_of(given, attribute))
    if session.out.machine:
        steps = [{"step": step.kind, "detail": step.detail, "holds": step.holds, "depth": step.depth} for step in found.steps]
        session.out.data({**evaluation_document(found.evaluation), "explanation": steps})
    else:
        for step in found.steps:
            session.out.line(f"{_MARKS[step.holds]}  {'   ' * step.depth}{step.kind}: {step.detail}")
    exit_as(found.evaluation)


def stale(
    session: Session,
    days: Annotated[int, typer.Option("--days", min=0, help="How long a flag must have been as it is.")] = 30,
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metrics", metavar="URL", help="The metrics of a process that reads flags; repeatable."),
    ] = None,
) -> None:
    """
    List the flags of the environment that have had their day: expired ones, and those that are the same for everybody.

    Only the processes that read flags know which ones they read. With --metrics, flags that none of these has read are
    listed too: name every server and service that decides flags.
    """
    reads = None if metrics is None else reads_of(metrics, session.environment, session.settings)
    with session.kit() as kit:
        flags = kit.flag_sets.ensure(session.environment).flags
    now = utcnow()
    stale = ((flag, _why_stale(flag, now, timedelta(days=days), reads)) for _, flag in sorted(flags.items()))
    found = [(flag, why) for flag, why in stale if why]
    if session.out.machine:
        items = [{"name": flag.name, "reason": why, "owner": flag.owner, "tags": list(flag.tags)} for flag, why in found]
        session.out.data({"items": items, "total": len(items)})
        return
    rows = [(flag.name, why, flag.owner or "", flag.description) for flag, why in found]
    session.out.table(("flag", "why", "owner", "description"), rows, empty="no flag has had its day")


def _why_stale(flag: Flag, now: datetime, patience: timedelta, reads: Counter[str] | None) -> str | None:
    if flag.kind != FLAG:
        return None
    if flag.expires_at is not None and flag.expires_at <= now:
        return f"expired on {flag.expires_at:%Y-%m-%d}"
    if flag.updated_at is None or now - flag.updated_at < patience:
        return None
    outcome = _for_everybody(flag)
    if outcome is not None:
        return f"{outcome} for everybody since {flag.updated_at:%Y-%m-%d}"
    return "never read, as these metrics have it" if reads is not None and not reads[flag.name] else None


def _for_everybody(flag: Flag) -> str | None:
    """Return what everybody gets; None: not everybody gets the same."""
    if not flag.is_enabled:
        return "off"
    others = flag.rules or flag.targets or flag.prerequisites or flag.schedule
    if others or (flag.target_users and flag.rollout_percentage < 100):
        return None
    if flag.variants is not None:
        served = [part["variant"] for part in flag.split or () if part["weight"]] or [flag.default_variant]
        return served[0] if len(served) == 1 else None
    return {0: "off", 100: "on"}.get(round(flag.rollout_percentage, 3))  # type: ignore[call-overload,no-any-return]
