"""Options made from a table of settings: one for each, with the table's help, and `--settings` for a settings file."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tiergate.cli.option_groups import set_parameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.process.settings import Setting, SettingsTable


def add_command(app: typer.Typer, command: Callable[..., None], table: SettingsTable, name: str | None = None) -> None:
    """Add a command that takes every setting of the table as an option, all of them as keywords."""
    file = typer.Option("--settings", metavar="PATH", help="A settings file, in TOML.", show_default=False)
    rows = [("settings", Annotated[str | None, file]), *((row.field, _annotation(row)) for row in table.settings)]
    keyword = inspect.Parameter.KEYWORD_ONLY
    set_parameters(command, [inspect.Parameter(field, keyword, default=None, annotation=hint) for field, hint in rows])
    app.command(name)(command)


def setting_values(flags: dict[str, Any]) -> dict[str, Any]:
    """Return a command's keywords in the form that `SettingsTable.read` takes."""
    return {name.replace("_", "-"): value for name, value in flags.items()}


def _annotation(setting: Setting) -> Any:  # noqa: ANN401 - a type made of data
    text = setting.help
    if setting.shown_default:
        text += f" Default: `{setting.shown_default}`."
    if setting.kind.word == "boolean":
        return Annotated[bool | None, typer.Option(setting.flag, help=text, show_default=False)]
    option = typer.Option(setting.flag, metavar=setting.kind.word.upper(), help=text, show_default=False)
    return Annotated[list[str] | None, option] if setting.many else Annotated[str | None, option]
