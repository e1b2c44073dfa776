"""
How a command is made: every one takes the options that say where, before the command or after it.

A command is a function whose first parameter is the `Session`; the options of `Where` are added to its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Annotated, Any, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from configkit.cli.opening import Session, Where

PANEL = "Where"


def _option(*names: str, text: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=text, metavar=metavar, rich_help_panel=PANEL, show_default=False)


OPTIONS: dict[str, Any] = {
    "url": Annotated[str | None, _option("--url", metavar="URL", text="The server to use. (CONFIGKIT_URL)")],
    "token": Annotated[
        str | None,
        _option("--token", metavar="TOKEN", text="Its bearer token; rather set CONFIGKIT_TOKEN: other users see command lines."),
    ],
    "mode": Annotated[
        str | None,
        _option("--mode", metavar="MODE", text="embedded, direct, remote or memory. (CONFIGKIT_MODE)"),
    ],
    "environment": Annotated[
        str | None,
        _option("--environment", "-e", metavar="NAME", text="The environment; development unless set. (CONFIGKIT_ENVIRONMENT)"),
    ],
    "service": Annotated[str | None, _option("--service", "-s", metavar="NAME", text="The service. (CONFIGKIT_SERVICE_NAME)")],
    "json": Annotated[bool, _option("--json", text="Print JSON, for machines.")],
}
"""The options of `Where`, as typer takes them."""


def _flags_without_type(parameters: list[Any]) -> list[Any]:
    """An option that takes no value must not be described as if it took one."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters


class Command(TyperCommand):
    """A command whose help shows no type where no value is taken."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters."""
        return _flags_without_type(super().get_params(ctx))


class Group(TyperGroup):
    """A group whose help shows no type where no value is taken."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters."""
        return _flags_without_type(super().get_params(ctx))


def group(name: str, text: str) -> typer.Typer:
    """Return a group of commands."""
    return typer.Typer(name=name, help=text, no_args_is_help=True, cls=Group)


def command(
    app: typer.Typer, name: str, *, without: Iterable[str] = (), **settings: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """
    Add the decorated function to *app* as the command *name*.

    Args:
        without: Options of `Where` that it does not take, or takes in its own way.
        settings: For `typer.Typer.command`.
    """
    common = [option for option in OPTIONS if option not in frozenset(without)]

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        def run(context: typer.Context, **given: Any) -> None:
            function(Session(_remember(context, given)), **given)

        hints = get_type_hints(function, include_extras=True)
        own = list(inspect.signature(function).parameters.values())[1:]
        _describe(run, function, [p.replace(kind=p.KEYWORD_ONLY, annotation=hints[p.name]) for p in own], common)
        app.command(name, cls=Command, **settings)(run)
        return function

    return decorate


def options_first(app: typer.Typer, text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let *app* itself take the options of `Where`, and those of the decorated function, before any command."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        def run(context: typer.Context, **given: Any) -> None:
            _remember(context, given)
            function(**given)

        hints = get_type_hints(function, include_extras=True)
        own = inspect.signature(function).parameters.values()
        _describe(run, function, [p.replace(kind=p.KEYWORD_ONLY, annotation=hints[p.name]) for p in own], OPTIONS)
        app.callback(help=text)(run)
        return function

    return decorate


def _remember(context: typer.Context, given: dict[str, Any]) -> Where:
    """Take the options of `Where` out of *given*, and add them to what this run was told before."""
    told = {name: given.pop(f"where_{name}") for name in OPTIONS if f"where_{name}" in given}
    context.obj.where = Where(**told).over(context.obj.where)
    where: Where = context.obj.where
    return where


def _describe(run: Callable[..., None], function: Callable[..., None], own: list[inspect.Parameter], common: Iterable[str]) -> None:
    """Give *run* the signature that typer reads: its context, *own* parameters, and the *common* options."""
    defaults = {option.name: option.default for option in fields(Where)}
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("context", keyword, annotation=typer.Context), *own]
    parameters += [inspect.Parameter(f"where_{name}", keyword, default=defaults[name], annotation=OPTIONS[name]) for name in common]
    run.__doc__, run.__name__ = function.__doc__, function.__name__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
