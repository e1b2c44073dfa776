"""``configkit token``: the bearer tokens that a server accepts."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from configkit.cli.commands import command, group
from configkit.cli.opening import AT_HOME, Session
from configkit.cli.output import timestamp
from configkit.client import ConfigKit
from configkit.errors import InvalidDocumentError
from configkit.names import check_environment, check_key, check_service_name
from configkit.ports import SCOPES, Scope, Token, TokenStore
from configkit.tokens import digest, new_secret

app = group("token", "Tokens that a server accepts: create, list, revoke. Where its database is, not through the server.")

WITHOUT = ("url", "token", "environment", "service")
CONFINED = "from now on servers answer requests from their own machine only, with every scope"
NEEDED = "from now on every request to a server needs a token"


def wire(token: Token) -> dict[str, Any]:
    """Return what may be known of *token*."""
    return {
        "name": token.name,
        "scopes": sorted(token.scopes),
        "environments": None if token.environments is None else sorted(token.environments),
        "services": None if token.services is None else sorted(token.services),
        "created_at": timestamp(token.created_at),
    }


@command(app, "create", without=WITHOUT)
def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whom it is for; the history names it as the author of changes.")],
    scope: Annotated[list[str], typer.Option("--scope", metavar="SCOPE", help=f"Repeatable: {', '.join(SCOPES)}.")],
    environment: Annotated[
        list[str] | None, typer.Option("--environment", "-e", metavar="NAME", help="Only there; repeatable. Otherwise everywhere.")
    ] = None,
    service: Annotated[
        list[str] | None, typer.Option("--service", "-s", metavar="NAME", help="Only for it; repeatable. Otherwise for all.")
    ] = None,
) -> None:
    """Create a token and print it. It is shown this once: only its hash is kept."""
    secret = new_secret()
    token = Token(
        check_key(name, pointer="/name"),
        digest(secret),
        frozenset(_scope(given) for given in scope),
        frozenset(check_environment(given, allowed=session.settings.supported_environments) for given in environment or []) or None,
        frozenset(check_service_name(given) for given in service or []) or None,
    )
    with session.kit() as kit:
        kit.calls.run(_store(kit).create, token, origin=kit.origin)
        tokens = kit.calls.run(_store(kit).all)
    # As it is kept, with its time; unless somebody has revoked it meanwhile.
    kept = next((one for one in tokens if one.digest == token.digest), token)
    session.out.done(secret, {"token": secret, **wire(kept)})
    session.out.note(f"this is the token {name}, shown this once: keep it, and give it to clients as CONFIGKIT_TOKEN")
    if len(tokens) == 1:
        session.out.note(f"it is the first one: {NEEDED}")


@command(app, "list", without=WITHOUT)
def list_(session: Session) -> None:
    """List the tokens: names and what they may do, never the tokens themselves."""
    with session.kit() as kit:
        tokens = kit.calls.run(_store(kit).all)
    if session.out.machine:
        session.out.data({"items": [wire(token) for token in tokens], "total": len(tokens)})
        return
    rows = [(t.name, " ".join(sorted(t.scopes)), _names(t.environments), _names(t.services), t.created_at) for t in tokens]
    session.out.table(("token", "scopes", "environments", "services", "created"), rows, empty="no tokens")


@command(app, "revoke", without=WITHOUT)
def revoke(session: Session, name: Annotated[str, typer.Argument(metavar="NAME", help="The token's name.")]) -> None:
    """Revoke a token: servers refuse it from now on."""
    with session.kit() as kit:
        kit.calls.run(_store(kit).revoke, name, origin=kit.origin)
        left = kit.calls.run(_store(kit).all)
    session.out.done(f"{name}: revoked", {"name": name, "revoked": True})
    if not left:
        session.out.note(f"it was the last one: {CONFINED}; those that have CONFIGKIT_TOKEN still need that")


def _store(kit: ConfigKit) -> TokenStore:
    if kit.backends.tokens is None:
        raise InvalidDocumentError(f"tokens cannot be managed in the {kit.backends.mode} mode; {AT_HOME}")
    return kit.backends.tokens


def _scope(given: str) -> Scope:
    if given not in SCOPES:
        raise InvalidDocumentError(f"not one of: {', '.join(SCOPES)}", pointer="/scope")
    return given


def _names(names: frozenset[str] | None) -> str:
    return "all" if names is None else " ".join(sorted(names))
