"""Options made of a table of settings: one for each, with the table's words, and `--settings` for a file of them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.process.settings import Setting, SettingsTable


def add_command(app: typer.Typer, command: Callable[..., None], table: SettingsTable, name: str | None = None) -> None:
    """Add a command that takes every setting of the table as an option, all of them as keywords.

    Typer makes the options from the signature: the table's, not one written a second time.
    """
    parameters = _parameters(table)
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    app.command(name)(command)


def given(flags: dict[str, Any]) -> dict[str, Any]:
    """What `SettingsTable.read` takes, from a command's keywords."""
    return {name.replace("_", "-"): value for name, value in flags.items()}


def _parameters(table: SettingsTable) -> list[inspect.Parameter]:
    file = typer.Option("--settings", metavar="PATH", help="A settings file, in TOML.", show_default=False)
    rows = [("settings", Annotated[str | None, file]), *((row.field, _annotation(row)) for row in table.settings)]
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in rows
    ]


def _annotation(setting: Setting) -> Any:  # noqa: ANN401 - a type made of data
    words = setting.help
    default = setting.shown_default
    if default:
        words += f" Default: `{default}`."
    if setting.kind.word == "boolean":
        return Annotated[bool | None, typer.Option(setting.flag, help=words, show_default=False)]
    option = typer.Option(setting.flag, metavar=setting.kind.word.upper(), help=words, show_default=False)
    return Annotated[list[str] | None, option] if setting.many else Annotated[str | None, option]
