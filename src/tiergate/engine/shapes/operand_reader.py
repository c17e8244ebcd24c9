"""Reads the operands of tests: numbers, texts and sets, as Python expressions with exactly Cedar's values.

Arithmetic is exact: a number beyond 64 bits, where Cedar fails, makes the function that is written return `None`.
INVARIANT (nothing is guessed): an expression that is not in `_OPERANDS` is an `UnknownExpressionError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tiergate.cedar import DAY_MS, parse_datetime, parse_duration
from tiergate.engine.cedar_context import CONTEXT_RECORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tiergate.engine.cedar_context import ContextTerm

Json = dict[str, Any]


class Operand(NamedTuple):
    """A value in Python: its type, its expression, and whether it is `None` where Cedar fails to read it."""

    type: str
    code: str
    optional: bool = False


LEAST: Final = -(2**63)
MOST: Final = 2**63 - 1
"""The range of Cedar's `Long`, and of its datetimes and durations in milliseconds."""

PRINCIPAL: Final = {"Var": "principal"}
CONTEXT: Final = {"Var": "context"}
RESOURCE: Final = {"Var": "resource"}
WHOLE_UNITS: Final = {
    "toMilliseconds": 1, "toSeconds": 1_000, "toMinutes": 60_000, "toHours": 3_600_000, "toDays": DAY_MS,
}  # fmt: skip

FEATURE_ATTRIBUTES: Final = {
    "type": Operand("text", "facts.feature.type.value"),
    "unit": Operand("text", "facts.feature.unit"),
    "scale": Operand("long", "facts.feature.scale"),
}
"""The attributes of a resource, as `EntityFactory` writes them."""


class UnknownExpressionError(Exception):
    """Not an expression that has a counterpart in Python."""


class AlwaysFailsError(Exception):
    """The expression fails in every check: it reads an attribute that the context does not have."""


class OperandReader:
    """Writes expressions of operands, and the statements that compute what they need."""

    def __init__(self, terms: Mapping[str, ContextTerm]) -> None:
        """`terms`: the values of the context, as `context_terms` returns them."""
        self._terms = terms
        self._locals: dict[str, str] = {}
        self.lines: list[str] = []
        self.constants: dict[str, object] = {}

    # ── operands ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _operand(self, node: Json) -> Operand:
        op, body = parts_of(node)
        read = self._OPERANDS.get(op)
        if read is None:
            raise UnknownExpressionError
        return read(self, op, body)

    def _literal(self, _: str, body: object) -> Operand:
        if isinstance(body, bool):
            return Operand("bool", repr(body))
        if isinstance(body, int):
            return Operand("long", repr(body))
        if isinstance(body, str):
            return Operand("text", repr(body))
        raise UnknownExpressionError

    def _attribute_of(self, op: str, body: Json) -> Operand:
        left, name = body["left"], body["attr"]
        if left == PRINCIPAL and name == "customer":
            return Operand("text", self._local("customer_id", f"{self._customer()}.id"))
        if left == PRINCIPAL and name == "tags":
            return Operand("tags", self._tags({op: body}))
        if left == RESOURCE:
            attribute = FEATURE_ATTRIBUTES.get(name)
            if attribute is None:
                raise UnknownExpressionError
            return attribute
        record = attribute_of(left, CONTEXT)
        if left == CONTEXT:
            if name in CONTEXT_RECORDS and self._has_record(name):
                raise UnknownExpressionError
            key = name
        elif record in CONTEXT_RECORDS:
            key = f"{record}.{name}"
        else:
            raise UnknownExpressionError
        term = self._terms.get(key)
        if term is None:
            raise AlwaysFailsError
        return self._term(key, term)

    def _tag(self, _: str, body: Json) -> Operand:
        if body["left"] != PRINCIPAL:
            raise UnknownExpressionError
        return Operand("text", self._number(f"{self._attributes()}.get({text_of(body['right'])!r})"), optional=True)

    def _arithmetic(self, op: str, body: Json) -> Operand:
        left, right = self._operand(body["left"]), self._operand(body["right"])
        if (left.type, right.type) != ("long", "long") or left.optional or right.optional:
            raise UnknownExpressionError
        return Operand("long", self._checked(f"{left.code} {op} {right.code}"))

    def _negation(self, _: str, body: Json) -> Operand:
        operand = self._operand(body["arg"])
        if operand.type != "long":
            raise UnknownExpressionError
        return Operand("long", self._checked(f"-({operand.code})"))

    def _time_literal(self, op: str, body: list[Json]) -> Operand:
        (argument,) = body
        try:
            amount = (parse_datetime if op == "datetime" else parse_duration)(text_of(argument))
        except ValueError:
            raise UnknownExpressionError from None
        if not LEAST <= amount <= MOST:
            raise UnknownExpressionError
        return Operand(op, repr(amount))

    def _shift(self, op: str, body: list[Json]) -> Operand:
        left, right = (self._operand(node) for node in body)
        if left.optional or right.optional:
            raise UnknownExpressionError
        if op == "offset" and (left.type, right.type) == ("datetime", "duration"):
            return Operand("datetime", self._checked(f"{left.code} + {right.code}"))
        if op == "durationSince" and (left.type, right.type) == ("datetime", "datetime"):
            return Operand("duration", self._checked(f"{left.code} - {right.code}"))
        raise UnknownExpressionError

    def _part(self, op: str, body: list[Json]) -> Operand:
        (node,) = body
        operand = self._operand(node)
        if operand.optional:
            raise UnknownExpressionError
        if op in WHOLE_UNITS:
            if operand.type != "duration":
                raise UnknownExpressionError
            whole, unit = self._number(operand.code), WHOLE_UNITS[op]
            return Operand("long", self._number(f"{whole} // {unit} if {whole} >= 0 else -(-{whole} // {unit})"))
        if operand.type != "datetime":
            raise UnknownExpressionError
        if op == "toTime":
            return Operand("duration", self._number(f"({operand.code}) % {DAY_MS}"))
        return Operand("datetime", self._checked(f"({operand.code}) // {DAY_MS} * {DAY_MS}"))

    _OPERANDS: Final[Mapping[str, Callable[[OperandReader, str, Any], Operand]]] = {
        "Value": _literal, ".": _attribute_of, "getTag": _tag, "+": _arithmetic, "-": _arithmetic, "*": _arithmetic,
        "neg": _negation, "datetime": _time_literal, "duration": _time_literal, "offset": _shift,
        "durationSince": _shift, "toDate": _part, "toTime": _part, **dict.fromkeys(WHOLE_UNITS, _part),
    }  # fmt: skip

    # ── Python ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _term(self, key: str, term: ContextTerm) -> Operand:
        return Operand(term.type, self._local(f"context_{key.replace('.', '_')}", term.expression), term.is_optional)

    def _has_record(self, name: str) -> bool:
        """Return whether the context has a record."""
        return name in CONTEXT_RECORDS and any(key.startswith(f"{name}.") for key in self._terms)

    def _local(self, name: str, expression: str) -> str:
        """Evaluate an expression once, under a name of this module's or of the schema's: none that a rule chooses."""
        if expression not in self._locals:
            self._locals[expression] = name
            self.lines.append(f"{name} = {expression}")
        return self._locals[expression]

    def _number(self, expression: str) -> str:
        return self._local(f"n{len(self._locals)}", expression)

    def _checked(self, expression: str) -> str:
        """Compute a number as Cedar does; where Cedar would fail, the function returns `None`."""
        is_new = expression not in self._locals
        name = self._number(expression)
        if is_new:
            self.lines.append(f"if not {LEAST} <= {name} <= {MOST}: return None")
        return name

    def _name(self, constant: object) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = constant
        return name

    def _customer(self) -> str:
        return self._local("customer", "facts.active_items.customer")

    def _attributes(self) -> str:
        return self._local("attributes", f"{self._customer()}.attributes")

    def _tags(self, node: Json) -> str:
        if attribute_of(node, PRINCIPAL) != "tags":
            raise UnknownExpressionError
        return self._local("tags", f"{self._customer()}.tags")


def parts_of(node: Json) -> tuple[str, Any]:
    """Return the operator and the operands of an expression in Cedar's JSON."""
    ((op, body),) = node.items()
    return op, body


def attribute_of(node: Json, of: Json) -> str | None:
    """Return which attribute of a variable an expression reads, if it is one."""
    body = node.get(".")
    return str(body["attr"]) if body is not None and body["left"] == of else None


def text_of(node: Json) -> str:
    """Return a literal text, if an expression is one."""
    value = node.get("Value")
    if not isinstance(value, str):
        raise UnknownExpressionError
    return value
