"""Writes the reference of the command line from the application itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from tiergate.cli.application import app
from tiergate.cli.exit_codes import EXIT_MEANINGS

if TYPE_CHECKING:
    from collections.abc import Iterator


class Parameter(NamedTuple):
    """An argument or an option: what is written, what it means, and its default."""

    usage: str
    help: str
    is_argument: bool = False
    many: bool = False


class Command(NamedTuple):
    """A command: the words that call it, what it does, and what it takes."""

    name: str
    help: str
    usage: str
    parameters: tuple[Parameter, ...]


def commands() -> Iterator[Command]:
    """Every command that does something, in the order of `tiergate --help`."""
    yield from _below(get_command(app), "tiergate")


def _below(command: object, name: str) -> Iterator[Command]:
    if isinstance(command, TyperGroup):
        for word, inner in command.commands.items():
            yield from _below(inner, f"{name} {word}")
        return
    if not isinstance(command, TyperCommand):
        raise TypeError(name)
    parameters = tuple(map(_parameter, command.params))
    arguments = [it.usage.strip("`") + (" …" if it.many else "") for it in parameters if it.is_argument]
    usage = " ".join([name, *arguments, "[OPTIONS]"])
    yield Command(name, _paragraphs(command.help or ""), usage, parameters)


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _parameter(param: object) -> Parameter:
    if not isinstance(param, TyperArgument | TyperOption):
        raise TypeError(param)
    text = " ".join((param.help or "").split())
    if isinstance(param, TyperArgument):
        choices = param.type_descriptor.choices
        listed = " One of " + ", ".join(f"`{choice.value}`" for choice in choices) + "." if choices else ""
        return Parameter(
            f"`{param.metavar or param.name.upper()}`", text + listed, is_argument=True, many=param.nargs != 1
        )
    metavar = "" if param.is_flag else f" {param.metavar or 'TEXT'}"
    usage = ", ".join(f"`{name}{metavar}`" for name in (*param.opts, *param.secondary_opts))
    if param.envvar:
        text += f" Variable: `{param.envvar}`."
    if param.required:
        text += " Required."
    elif param.show_default is not False and param.default not in (None, False, (), []):
        text += f" Default: `{param.default}`."
    return Parameter(usage, text)


def cli_page() -> str:
    """The page, as docs/reference/cli.md should be."""
    parts = [HEAD, "| code | meaning |", "|---|---|"]
    parts += [f"| {code.value} | {meaning} |" for code, meaning in EXIT_MEANINGS.items()]
    for command in commands():
        parts += ["", f"## {command.name}", "", command.help, "", "```", command.usage, "```", ""]
        parts += _table("argument", [it for it in command.parameters if it.is_argument])
        parts += _table("option", [it for it in command.parameters if not it.is_argument])
        if parts[-1] == "":
            parts.pop()
    return "\n".join(parts) + "\n"


def _table(what: str, parameters: list[Parameter]) -> list[str]:
    if not parameters:
        return []
    rows = [f"| {_cell(it.usage)} | {_cell(it.help)} |" for it in parameters]
    return [f"| {what} | |", "|---|---|", *rows, ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


HEAD = """\
# The command line

<!-- Generated from the application by `make docs`. -->

`tiergate --help` lists the commands, `tiergate COMMAND --help` lists the arguments and options of each.
`tiergate --install-completion` sets up completion for the current shell: bash, zsh, fish or PowerShell.

- A command writes its result to standard output, everything else to standard error.
- Problems in files are one line each: `file:line:column: error: message [code]`. A command reports all of them at
  once, in the order of the files.
- With `--json` a command writes exactly one JSON document to standard output, except if an argument or an option is
  wrong. Instead of a result it may be `{"error": …, "exit_code": …, "problems": […]}`, with each problem's `file`,
  `line`, `column`, `severity`, `code` and `message`.
- Colours and progress are for terminals; `NO_COLOR` turns colours off.

## Exit codes
"""
