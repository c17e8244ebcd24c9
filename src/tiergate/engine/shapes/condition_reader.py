"""Reads the conditions of policies: everything that their outcome can depend on, as Python expressions.

A condition is a Boolean combination of *tests*. Whether a policy applies, does not apply or fails is a function of the
outcomes of its tests, so checks with the same outcomes get the same answer from Cedar. The reader never evaluates
`&&`, `||`, `!` or `if`: it only collects the tests below them.

- A test that is understood becomes an expression that is true or false as in Cedar, or `None` where it fails.
- Of a test that is not understood, the *values* that it reads are collected instead: Cedar's expressions have no
  effects, so their outcome is a function of these. At worst that is the whole principal or the whole context.
- A test whose outcome is the same for every check, such as `context has userCap`, is left out.

INVARIANT (nothing is guessed): `_TESTS`, `_OPERANDS` and `_PURE` are the operators that the reader knows; a condition
with any other is an `UnreadableConditionError`, and Cedar evaluates its checks one by one.

Arithmetic is exact: a number beyond 64 bits, where Cedar fails, makes the whole function return `None`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tiergate.cedar import DAY_MS, Uid, parse_datetime, parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tiergate.cedar import Policy
    from tiergate.engine.cedar_context import ContextTerm

Json = dict[str, Any]

LEAST: Final = -(2**63)
MOST: Final = 2**63 - 1
"""The range of Cedar's `Long`, and of its datetimes and durations in milliseconds."""

_PRINCIPAL: Final = {"Var": "principal"}
_CONTEXT: Final = {"Var": "context"}
_RESOURCE: Final = {"Var": "resource"}
_ORDERED: Final = frozenset({"long", "datetime", "duration"})
_COMPARABLE: Final = _ORDERED | {"bool", "text"}
_WHOLE_UNITS: Final = {
    "toMilliseconds": 1, "toSeconds": 1_000, "toMinutes": 60_000, "toHours": 3_600_000, "toDays": DAY_MS,
}  # fmt: skip

_CATALOG_TYPES: Final = frozenset({"Action", "Feature", "Item", "Tag"})
"""Types whose literal entities are the same for every check; what others lead to may be the principal."""

_PURE: Final = frozenset(
    [
        *["&&", "||", "!", "if-then-else", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "neg"],
        *[".", "has", "getTag", "hasTag", "in", "is", "like", "Set", "Record"],
        *["contains", "containsAll", "containsAny", "isEmpty"],
        *["datetime", "duration", "offset", "durationSince", "toDate", "toTime", *_WHOLE_UNITS],
        *["decimal", "lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual"],
        *["ip", "isIpv4", "isIpv6", "isLoopback", "isMulticast", "isInRange"],
    ]
)
"""Operators and functions whose outcome depends on their operands alone."""


class UnreadableConditionError(Exception):
    """A condition that only Cedar can evaluate, each time."""


class _UnknownError(Exception):
    """Not an expression that has a counterpart in Python."""


class _FailsError(Exception):
    """The expression fails in every check: it reads an attribute that the context does not have."""


class _Operand(NamedTuple):
    """A value in Python: its type, its expression, and whether it is `None` where Cedar fails to read it."""

    type: str
    code: str
    optional: bool = False


class ConditionReader:
    """Collects what conditions depend on, in the context of one kind of check."""

    def __init__(self, terms: Mapping[str, ContextTerm]) -> None:
        """`terms`: the values of the context, as `context_terms` returns them."""
        self._terms = terms
        self._locals: dict[str, str] = {}
        self.lines: list[str] = []
        self.tests: dict[str, None] = {}
        self.values: dict[str, None] = {}
        self.constants: dict[str, object] = {}
        self.reads_whole_principal = False

    def read(self, policy: Policy) -> None:
        """Collect what the conditions of a policy depend on; raises `UnreadableConditionError`."""
        try:
            for clause in policy.json["conditions"]:
                self._condition(clause["body"])
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise UnreadableConditionError(f"not the JSON of a condition: {error}") from None

    def _condition(self, node: Json) -> None:
        op, body = _parts(node)
        if op in ("&&", "||"):
            self._condition(body["left"])
            self._condition(body["right"])
        elif op == "!":
            self._condition(body["arg"])
        elif op == "if-then-else":
            for part in ("if", "then", "else"):
                self._condition(body[part])
        else:
            self._test(node)

    def _test(self, node: Json) -> None:
        op, body = _parts(node)
        read = self._TESTS.get(op)
        try:
            if read is None:
                raise _UnknownError
            tests = read(self, op, body)
        except _FailsError:
            return
        except _UnknownError:
            self._depend_on(node)
            return
        self.tests.update(dict.fromkeys(tests))

    # ── tests ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _constant(self, _: str, body: object) -> list[str]:
        if isinstance(body, bool):
            return []
        raise _UnknownError

    def _flag(self, op: str, body: Json) -> list[str]:
        operand = self._operand({op: body})
        if operand.type != "bool":
            raise _UnknownError
        return [operand.code]

    def _order(self, op: str, body: Json) -> list[str]:
        left, right = self._operand(body["left"]), self._operand(body["right"])
        if left.type != right.type or left.type not in _ORDERED:
            raise _UnknownError
        # `a > b` is the opposite of `a <= b`, so it is the same test.
        return [f"{left.code} {'<=' if op in ('<=', '>') else '<'} {right.code}"]

    def _equality(self, _: str, body: Json) -> list[str]:
        for one, other in (("left", "right"), ("right", "left")):
            uid = _entity(body[other])
            if body[one] == _PRINCIPAL and uid is not None:
                return [f"principal == {self._name(uid)}"]
        left, right = self._operand(body["left"]), self._operand(body["right"])
        if left.type != right.type or left.type not in _COMPARABLE:
            raise _UnknownError
        return [_if_present(f"{left.code} == {right.code}", left, right)]

    def _has(self, _: str, body: Json) -> list[str]:
        """The attributes of the context and of a principal are the same in every check of a kind."""
        left = body["left"]
        if left in (_CONTEXT, _PRINCIPAL):
            return []
        if _attribute(left, _CONTEXT) in ("userCap", "totalCap"):
            return []
        raise _UnknownError

    def _has_tag(self, _: str, body: Json) -> list[str]:
        if body["left"] != _PRINCIPAL:
            raise _UnknownError
        return [f"{_text(body['right'])!r} in {self._attributes()}"]

    def _like(self, _: str, body: Json) -> list[str]:
        operand = self._operand(body["left"])
        if operand.type != "text":
            raise _UnknownError
        return [_if_present(f"{self._name(_matcher(body['pattern']))}({operand.code})", operand)]

    def _contains(self, _: str, body: Json) -> list[str]:
        operand = self._operand(body["right"])
        if operand.type != "text":
            raise _UnknownError
        listed = _texts(body["left"])
        whole = self._tags(body["left"]) if listed is None else repr(listed)
        return [_if_present(f"{operand.code} in {whole}", operand)]

    def _contains_several(self, op: str, body: Json) -> list[str]:
        listed = _texts(body["right"])
        if not listed:
            raise _UnknownError
        tags = self._tags(body["left"])
        return [(" or " if op == "containsAny" else " and ").join(f"{text!r} in {tags}" for text in listed)]

    def _is_empty(self, _: str, body: Json) -> list[str]:
        return [f"not {self._tags(body['arg'])}"]

    def _in(self, _: str, body: Json) -> list[str]:
        if body["left"] != _PRINCIPAL:
            raise _UnknownError
        right = body["right"]
        uids = [_entity(node) for node in right.get("Set", [right])]
        if None in uids:
            raise _UnknownError
        ancestors = self._local("ancestors", "ancestors_of(principal, subject, facts.active_items.refs)")
        return [f"{ancestors}.isdisjoint({self._name(frozenset(uids))})"]

    def _is(self, _: str, body: Json) -> list[str]:
        if body["left"] == _RESOURCE and "in" not in body:
            return []
        if body["left"] != _PRINCIPAL:
            raise _UnknownError
        inside = self._in("in", {"left": _PRINCIPAL, "right": body["in"]}) if "in" in body else []
        return [f"principal.type == {str(body['entity_type'])!r}", *inside]

    _TESTS: Final[Mapping[str, Callable[[ConditionReader, str, Any], list[str]]]] = {
        "Value": _constant, ".": _flag, "<": _order, "<=": _order, ">": _order, ">=": _order,
        "==": _equality, "!=": _equality, "has": _has, "hasTag": _has_tag, "like": _like, "contains": _contains,
        "containsAny": _contains_several, "containsAll": _contains_several, "isEmpty": _is_empty, "in": _in, "is": _is,
    }  # fmt: skip

    # ── operands ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _operand(self, node: Json) -> _Operand:
        op, body = _parts(node)
        read = self._OPERANDS.get(op)
        if read is None:
            raise _UnknownError
        return read(self, op, body)

    def _literal(self, _: str, body: object) -> _Operand:
        if isinstance(body, bool):
            return _Operand("bool", repr(body))
        if isinstance(body, int):
            return _Operand("long", repr(body))
        if isinstance(body, str):
            return _Operand("text", repr(body))
        raise _UnknownError

    def _attribute_of(self, op: str, body: Json) -> _Operand:
        left, name = body["left"], body["attr"]
        if left == _PRINCIPAL and name == "customer":
            return _Operand("text", self._local("customer_id", f"{self._customer()}.id"))
        if left == _PRINCIPAL and name == "tags":
            return _Operand("tags", self._tags({op: body}))
        record = _attribute(left, _CONTEXT)
        if left == _CONTEXT:
            if name in ("userCap", "totalCap"):
                raise _UnknownError
            key = name
        elif record in ("userCap", "totalCap"):
            key = f"{record}.{name}"
        else:
            raise _UnknownError
        term = self._terms.get(key)
        if term is None:
            raise _FailsError
        return self._term(key, term)

    def _tag(self, _: str, body: Json) -> _Operand:
        if body["left"] != _PRINCIPAL:
            raise _UnknownError
        return _Operand("text", self._number(f"{self._attributes()}.get({_text(body['right'])!r})"), optional=True)

    def _arithmetic(self, op: str, body: Json) -> _Operand:
        left, right = self._operand(body["left"]), self._operand(body["right"])
        if (left.type, right.type) != ("long", "long"):
            raise _UnknownError
        return _Operand("long", self._checked(f"{left.code} {op} {right.code}"))

    def _negation(self, _: str, body: Json) -> _Operand:
        operand = self._operand(body["arg"])
        if operand.type != "long":
            raise _UnknownError
        return _Operand("long", self._checked(f"-({operand.code})"))

    def _time_literal(self, op: str, body: list[Json]) -> _Operand:
        (argument,) = body
        try:
            amount = (parse_datetime if op == "datetime" else parse_duration)(_text(argument))
        except ValueError:
            raise _UnknownError from None
        if not LEAST <= amount <= MOST:
            raise _UnknownError
        return _Operand(op, repr(amount))

    def _shift(self, op: str, body: list[Json]) -> _Operand:
        left, right = (self._operand(node) for node in body)
        if op == "offset" and (left.type, right.type) == ("datetime", "duration"):
            return _Operand("datetime", self._checked(f"{left.code} + {right.code}"))
        if op == "durationSince" and (left.type, right.type) == ("datetime", "datetime"):
            return _Operand("duration", self._checked(f"{left.code} - {right.code}"))
        raise _UnknownError

    def _part(self, op: str, body: list[Json]) -> _Operand:
        (node,) = body
        operand = self._operand(node)
        if op in _WHOLE_UNITS:
            if operand.type != "duration":
                raise _UnknownError
            whole, unit = self._number(operand.code), _WHOLE_UNITS[op]
            return _Operand("long", self._number(f"{whole} // {unit} if {whole} >= 0 else -(-{whole} // {unit})"))
        if operand.type != "datetime":
            raise _UnknownError
        if op == "toTime":
            return _Operand("duration", self._number(f"({operand.code}) % {DAY_MS}"))
        return _Operand("datetime", self._checked(f"({operand.code}) // {DAY_MS} * {DAY_MS}"))

    _OPERANDS: Final[Mapping[str, Callable[[ConditionReader, str, Any], _Operand]]] = {
        "Value": _literal, ".": _attribute_of, "getTag": _tag, "+": _arithmetic, "-": _arithmetic, "*": _arithmetic,
        "neg": _negation, "datetime": _time_literal, "duration": _time_literal, "offset": _shift,
        "durationSince": _shift, "toDate": _part, "toTime": _part, **dict.fromkeys(_WHOLE_UNITS, _part),
    }  # fmt: skip

    # ── values ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _depend_on(self, node: Json) -> None:
        """Collect the values that an expression reads."""
        op, body = _parts(node)
        if op == "Value" and not isinstance(body, dict):
            return
        try:
            operand = self._operand(node)
        except _FailsError:
            return
        except _UnknownError:
            pass
        else:
            self._value(operand)
            return
        if op == "Var":
            self._variable(body)
        elif op == "Value":
            uid = _entity(node)
            if uid is None:
                raise UnreadableConditionError(f"literal {body!r}")
            self.reads_whole_principal = self.reads_whole_principal or uid.type not in _CATALOG_TYPES
        elif op not in _PURE:
            raise UnreadableConditionError(f"`{op}`")
        elif op != "has" or body["left"] not in (_CONTEXT, _PRINCIPAL):
            for child in _children(op, body):
                self._depend_on(child)

    def _variable(self, name: str) -> None:
        match name:
            case "principal":
                self.reads_whole_principal = True
            case "resource":
                self.values["facts.feature.id"] = None
            case "context":
                for key, term in self._terms.items():
                    self._value(self._term(key, term))
            case "action":  # the feature's type determines it
                pass
            case _:
                raise UnreadableConditionError(f"variable `{name}`")

    def _value(self, operand: _Operand) -> None:
        if operand.type in ("datetime", "duration"):  # never the same again: it would only fill the table
            raise UnreadableConditionError("the instant itself")
        self.values[operand.code] = None

    # ── Python ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _term(self, key: str, term: ContextTerm) -> _Operand:
        return _Operand(term.type, self._local(f"context_{key.replace('.', '_')}", term.expression))

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
        if _attribute(node, _PRINCIPAL) != "tags":
            raise _UnknownError
        return self._local("tags", f"{self._customer()}.tags")


def _parts(node: Json) -> tuple[str, Any]:
    """Return the operator and the operands of an expression in Cedar's JSON."""
    ((op, body),) = node.items()
    return op, body


def _children(op: str, body: object) -> Iterator[Json]:
    """Yield the operands of an operator; a record's are named, a function's and a set's listed."""
    if isinstance(body, list):
        yield from body
    elif isinstance(body, dict):
        if op == "Record":
            yield from body.values()
        else:
            yield from (body[key] for key in ("left", "right", "arg", "if", "then", "else", "in") if key in body)


def _attribute(node: Json, of: Json) -> str | None:
    """Return which attribute of a variable an expression reads, if it is one."""
    body = node.get(".")
    return str(body["attr"]) if body is not None and body["left"] == of else None


def _entity(node: Json) -> Uid | None:
    """Return the entity that an expression names literally, if it is one."""
    value = node.get("Value")
    if not isinstance(value, dict) or "__entity" not in value:
        return None
    return Uid(value["__entity"]["type"], value["__entity"]["id"])


def _text(node: Json) -> str:
    value = node.get("Value")
    if not isinstance(value, str):
        raise _UnknownError
    return value


def _texts(node: Json) -> tuple[str, ...] | None:
    """Return a set of literal texts, if an expression is one."""
    return tuple(_text(element) for element in node["Set"]) if "Set" in node else None


def _if_present(code: str, *operands: _Operand) -> str:
    """Return a test that is `None` where an operand is absent."""
    optional = [operand.code for operand in operands if operand.optional]
    if not optional:
        return code
    return f"({code}) if {' and '.join(f'{name} is not None' for name in optional)} else None"


def _matcher(pattern: list[Any]) -> Callable[[str], bool]:
    """Return a function for a pattern of `like`, whose `*` matches any text; it takes linear time, as Cedar's."""
    pieces = [""]
    for part in pattern:
        if part == "Wildcard":
            pieces.append("")
        else:
            pieces[-1] += part["Literal"]
    if len(pieces) == 1:
        return pieces[0].__eq__
    first, *middle, last = pieces

    def matches(text: str) -> bool:
        end = len(text) - len(last)
        if len(first) > end or not text.startswith(first) or not text.endswith(last):
            return False
        at = len(first)
        for piece in middle:
            found = text.find(piece, at, end)
            if found < 0:
                return False
            at = found + len(piece)
        return True

    return matches
