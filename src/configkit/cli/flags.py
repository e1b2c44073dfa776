"""``configkit flag``: feature flags."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from configkit.cli.commands import command, group
from configkit.cli.exits import FAILED, INVALID, NOT_FOUND
from configkit.cli.opening import Session
from configkit.cli.output import cell_text, counted, timestamp
from configkit.errors import InvalidDocumentError, NotFoundError
from configkit.flags.documents import extension_of
from configkit.flags.model import SEGMENT, Evaluation, Flag

app = group("flag", "Feature flags: create, change, evaluate.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The flag.")]
Percentage = Annotated[
    float | None,
    typer.Option("--percentage", metavar="NUMBER", help="The share of users that get it: 0 to 100, in steps of 0.001."),
]
Users = Annotated[list[str] | None, typer.Option("--user", metavar="ID", help="A user that gets it in any case; repeatable.")]
Description = Annotated[str | None, typer.Option("--description", help="What it is for.")]
User = Annotated[str | None, typer.Option("--user", metavar="ID", help="The user to evaluate it for.")]
Context = Annotated[str | None, typer.Option("--context", metavar="JSON", help="The evaluation context, as a JSON object.")]
Attributes = Annotated[
    list[str] | None,
    typer.Option("--attribute", "-a", metavar="NAME=VALUE", help="One attribute: JSON where it is, else text; repeatable."),
]
Fields = Annotated[
    list[str] | None,
    typer.Option(
        "--field",
        "-f",
        metavar="NAME=JSON",
        help="Another field, such as variants or rules; repeatable.",
    ),
]
Expected = Annotated[int | None, typer.Option("--expected-version", min=1, help="Only if the flag is at this version.")]

_NO_FIELDS = ("name", "environment", "expected_version", "self")
_EXIT_CODES = {"FLAG_NOT_FOUND": NOT_FOUND, "TARGETING_KEY_MISSING": INVALID, "INVALID_CONTEXT": INVALID}


def wire(flag: Flag) -> dict[str, Any]:
    """Return *flag* as the REST API shows it."""
    return {
        "name": flag.name,
        "description": flag.description,
        "environment": flag.environment,
        "is_enabled": flag.is_enabled,
        "rollout_percentage": flag.rollout_percentage,
        "target_users": list(flag.target_users),
        "version": flag.version,
        "created_at": timestamp(flag.created_at),
        "updated_at": timestamp(flag.updated_at),
        **extension_of(flag),
    }


@command(app, "list", without=["service"])
def list_(session: Session) -> None:
    """List the flags of the environment."""
    with session.kit() as kit:
        flags = list(kit.flag_sets.ensure(session.environment).flags.values())
    flags.sort(key=lambda flag: flag.name)
    if session.out.machine:
        session.out.data({"items": [wire(flag) for flag in flags], "total": len(flags)})
        return
    rows = [(f.name, "on" if f.is_enabled else "off", _share(f), _named(f), len(f.rules), f.version, f.description) for f in flags]
    session.out.table(("flag", "state", "share", "users", "rules", "version", "description"), rows, empty="no flags")


@command(app, "show", without=["service"])
def show(session: Session, name: Name) -> None:
    """Show the flag NAME."""
    with session.kit() as kit:
        flag = kit.flag_sets.ensure(session.environment).flags.get(name)
    if flag is None:
        raise NotFoundError(f"there is no flag {name} in {session.environment}")
    if session.out.machine:
        session.out.data(wire(flag))
        return
    facts = {
        "flag": f"{flag.environment}/{flag.name}",
        "state": _state(flag),
        "users": " ".join(flag.target_users) or None,
        **{name: json.dumps(value, ensure_ascii=False) for name, value in extension_of(flag).items()},
        "description": flag.description,
        "version": flag.version,
        "updated": flag.updated_at,
    }
    width = max(12, *map(len, facts))
    for fact, value in facts.items():
        session.out.line(f"{fact:<{width}} {cell_text(value)}")


command(app, "get", without=["service"], hidden=True)(show)


@command(app, "create", without=["service"])
def create(
    session: Session,
    name: Name,
    enabled: Annotated[bool, typer.Option("--enabled/--disabled", help="On or off.")] = False,  # noqa: FBT002
    percentage: Percentage = None,
    user: Users = None,
    description: Description = None,
    field: Fields = None,
) -> None:
    """Create the flag NAME in the environment."""
    options = {"is_enabled": enabled, "rollout_percentage": percentage, "target_users": user, "description": description}
    fields = options | fields_of(field)
    with session.kit() as kit:
        flag = kit.flags.create(name, **{each: value for each, value in fields.items() if value is not None})
    session.out.done(f"{flag.environment}/{name}: version {flag.version} created, {_state(flag)}", wire(flag))


@command(app, "set", without=["service"])
def set_(
    session: Session,
    name: Name,
    enabled: Annotated[bool | None, typer.Option("--enabled/--disabled", help="On or off.")] = None,
    percentage: Percentage = None,
    user: Users = None,
    no_users: Annotated[bool, typer.Option("--no-users", help="Nobody gets it in any case any more.")] = False,  # noqa: FBT002
    description: Description = None,
    field: Fields = None,
    expected_version: Expected = None,
) -> None:
    """Change the flag NAME; what is not given stays, --user replaces the users, and --field NAME=null resets a field."""
    if user and no_users:
        raise InvalidDocumentError("either --user or --no-users, not both")
    users = [] if no_users else user
    changes = {"is_enabled": enabled, "rollout_percentage": percentage, "target_users": users, "description": description}
    changes = {each: value for each, value in changes.items() if value is not None} | fields_of(field)
    if not changes:
        remedy = "nothing to change: --enabled, --disabled, --percentage, --user, --no-users, --description or --field"
        raise InvalidDocumentError(remedy)
    _change(session, name, changes, expected_version)


@command(app, "enable", without=["service"])
def enable(session: Session, name: Name, percentage: Percentage = None) -> None:
    """Turn the flag NAME on, for the share of users that it has or is given."""
    _change(session, name, {"is_enabled": True} | ({} if percentage is None else {"rollout_percentage": percentage}))


@command(app, "disable", without=["service"])
def disable(session: Session, name: Name) -> None:
    """Turn the flag NAME off for everybody; its share and its users stay."""
    _change(session, name, {"is_enabled": False})


@command(app, "evaluate", without=["service"])
def evaluate(session: Session, name: Name, user: User = None, given: Context = None, attribute: Attributes = None) -> None:
    """
    Evaluate the flag NAME for a user, in this process, as a service would.

    The first line is the value; an evaluation that could not be made is false, and the exit code tells why.
    """
    with session.kit() as kit:
        # Read now, so that "cannot be reached" is told as what it is.
        kit.flag_sets.ensure(session.environment)
        found = kit.flags.evaluate(name, user_id=user, context=context_of(given, attribute))
    if session.out.machine:
        session.out.data(evaluation_document(found))
    else:
        session.out.line(_shown(found))
        session.out.line(f"reason {found.reason}{f' ({found.error_code})' if found.error_code else ''}")
        session.out.line(f"variant {found.variant or '-'}")
        session.out.line(f"version {found.version or '-'}")
        if found.rule is not None:
            session.out.line(f"rule {found.rule}")
    exit_as(found)


@command(app, "delete", without=["service"])
def delete(session: Session, name: Name, expected_version: Expected = None) -> None:
    """Delete the flag NAME from the environment."""
    with session.kit() as kit:
        kit.flags.delete(name, expected_version=expected_version)
    document = {"environment": session.environment, "name": name, "deleted": True}
    session.out.done(f"{session.environment}/{name}: deleted", document)


def _change(session: Session, name: str, changes: dict[str, Any], expected_version: int | None = None) -> None:
    with session.kit() as kit:
        flag = kit.flags.update(name, expected_version=expected_version, **changes)
    session.out.done(f"{flag.environment}/{name}: version {flag.version} written, {_state(flag)}", wire(flag))


def exit_as(found: Evaluation) -> None:
    """End with the exit code of an evaluation that could not be made; return from one that was."""
    if found.error_code is not None:
        raise typer.Exit(_EXIT_CODES.get(found.error_code, FAILED))


def context_of(document: str | None, attributes: list[str] | None) -> dict[str, Any]:
    """Return the evaluation context that the options describe."""
    context = {} if document is None else _json(document, "--context")
    if not isinstance(context, dict):
        raise InvalidDocumentError("--context takes a JSON object")
    for attribute in attributes or ():
        name, equals, text = attribute.partition("=")
        if not equals or not name:
            raise InvalidDocumentError("--attribute takes NAME=VALUE")
        try:
            context[name] = json.loads(text)
        except ValueError:
            context[name] = text
    return context


def fields_of(given: list[str] | None) -> dict[str, Any]:
    """Return the fields that --field gives."""
    fields = {}
    for each in given or ():
        name, equals, text = each.partition("=")
        if not equals:
            raise InvalidDocumentError(f"--field takes NAME=JSON, and not {each!r}")
        if name in _NO_FIELDS:
            raise InvalidDocumentError(f"--field {name}: not a field that can be changed")
        fields[name] = _json(text, f"--field {name}")
    return fields


def _json(text: str, option: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidDocumentError(f"{option} takes JSON (texts in quotation marks): {error}") from None


def _shown(found: Evaluation) -> str:
    if found.error_code is not None and found.value is None:
        return "false"
    return found.value if isinstance(found.value, str) else json.dumps(found.value, ensure_ascii=False)


def evaluation_document(found: Evaluation) -> dict[str, Any]:
    """Return *found* as the REST API shows it."""
    document = {
        "flag_name": found.flag_name,
        "environment": found.environment,
        "enabled": found.enabled,
        "value": False if found.error_code and found.value is None else found.value,
        "variant": found.variant,
        "reason": found.reason,
        "version": found.version,
    }
    more = {"error_code": found.error_code, "rule": found.rule}
    return document | {name: value for name, value in more.items() if value is not None}


def _share(flag: Flag) -> str:
    if flag.kind == SEGMENT:
        return "segment"
    if flag.schedule and "ramp" in flag.schedule:
        return "ramp"
    return f"{flag.rollout_percentage:g} %" if flag.variants is None else counted(len(flag.variants), "variant")


def _named(flag: Flag) -> int:
    return len(flag.target_users) + sum(map(len, flag.targets.values()))


def _state(flag: Flag) -> str:
    if flag.kind == SEGMENT:
        return f"a segment of {counted(len(flag.target_users), 'named user')} and {counted(len(flag.rules), 'rule')}"
    if not flag.is_enabled:
        return "off for everybody"
    schedule = flag.schedule or {}
    times = [f"{word} {schedule[name]}" for name, word in (("starts_at", "from"), ("ends_at", "until")) if name in schedule]
    return " ".join([_state_in_time(flag), *times])


def _state_in_time(flag: Flag) -> str:
    if flag.variants is not None or flag.rules:
        return f"on, with {counted(len(flag.values), 'variant')} and {counted(len(flag.rules), 'rule')}"
    if flag.schedule and "ramp" in flag.schedule:
        return "on, for a share that its ramp says"
    if not flag.rollout_percentage and not flag.target_users:
        return "on, but for nobody: give it a percentage or users"
    named = f" and {counted(len(flag.target_users), 'named user')}" if flag.target_users else ""
    return f"on for {flag.rollout_percentage:g} % of the users{named}"
