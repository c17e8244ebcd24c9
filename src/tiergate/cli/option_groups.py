"""Groups of options that several commands share: each is a named tuple that a command takes as one parameter."""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Any, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Callable


def set_parameters(command: Callable[..., None], parameters: list[inspect.Parameter]) -> None:
    """Set the parameters from which Typer makes the options of a command."""
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}


def expand_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace each parameter that is a group by the options of the group; the command still gets the group.

    @app.command()
    @expand_options
    def publish(*, connection: Connection, note: Note = "") -> None: ...
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {}
    parameters = []
    for parameter in inspect.signature(command).parameters.values():
        group = hints[parameter.name]
        if not (isinstance(group, type) and issubclass(group, tuple)):
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=group))
            continue
        groups[parameter.name] = fields = group
        defaults = getattr(fields, "_field_defaults", {})
        parameters += [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=defaults.get(name, inspect.Parameter.empty),
                annotation=hint,
            )
            for name, hint in get_type_hints(fields, include_extras=True).items()
        ]

    @wraps(command)
    def expanded(**values: Any) -> None:  # noqa: ANN401 - the values of the options
        for name, group in groups.items():
            values[name] = group(**{field: values.pop(field) for field in group._fields})
        command(**values)

    set_parameters(expanded, parameters)
    return expanded
