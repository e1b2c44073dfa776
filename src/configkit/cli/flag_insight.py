"""``configkit flag explain`` and ``configkit flag stale``: why a flag is what it is, and which flags have had their day."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import typer

from configkit.cli.commands import command
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
    days: Annotated[int, typer.Option("--days", min=0, help="How long a flag must have been the same for everybody.")] = 30,
) -> None:
    """
    List the flags of the environment that have had their day: expired ones, and those that are the same for everybody.

    Who reads a flag only the processes know that do: configkit_flag_evaluations_total in the /metrics of a server counts
    what it decides.
    """
    with session.kit() as kit:
        flags = kit.flag_sets.ensure(session.environment).flags
    now = utcnow()
    found = [(flag, why) for name, flag in sorted(flags.items()) if (why := _why_stale(flag, now, timedelta(days=days)))]
    if session.out.machine:
        items = [{"name": flag.name, "reason": why, "owner": flag.owner, "tags": list(flag.tags)} for flag, why in found]
        session.out.data({"items": items, "total": len(items)})
        return
    rows = [(flag.name, why, flag.owner or "", flag.description) for flag, why in found]
    session.out.table(("flag", "why", "owner", "description"), rows, empty="no flag has had its day")


def _why_stale(flag: Flag, now: datetime, patience: timedelta) -> str | None:
    if flag.kind != FLAG:
        return None
    if flag.expires_at is not None and flag.expires_at <= now:
        return f"expired on {flag.expires_at:%Y-%m-%d}"
    outcome = _for_everybody(flag)
    if outcome is None or flag.updated_at is None or now - flag.updated_at < patience:
        return None
    return f"{outcome} for everybody since {flag.updated_at:%Y-%m-%d}"


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
