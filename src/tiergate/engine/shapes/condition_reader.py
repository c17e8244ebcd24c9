"""Reads the conditions of policies: everything that their outcome can depend on, as Python expressions.

A condition is a Boolean combination of *tests*. Whether a policy applies, does not apply or fails is a function of the
outcomes of its tests, so checks with the same outcomes get the same answer from Cedar. What combines tests of the
context is left to Cedar. A part of a condition that reads only the principal and the feature is one test, so that the
number of keys does not grow with each tag that rules name.

- A test that is understood becomes an expression that is true or false as in Cedar, or `None` where it fails.
- Of a test that is not understood, the *values* that it reads are collected instead: Cedar's expressions have no
  effects, so their outcome is a function of these. At worst that is the whole principal or the whole context.
- A test whose outcome is the same for every check, such as `context has userCap`, is left out.

INVARIANT (nothing is guessed): `_TESTS`, `_PURE` and the operands of `operand_reader` are the operators that are known.
A condition with any other is an `UnreadableConditionError`, and Cedar evaluates its checks one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tiergate.cedar import Uid
from tiergate.engine.cedar_context import CONTEXT_RECORDS
from tiergate.engine.shapes.operand_reader import (
    CONTEXT,
    FEATURE_ATTRIBUTES,
    PRINCIPAL,
    RESOURCE,
    WHOLE_UNITS,
    AlwaysFailsError,
    Json,
    Operand,
    OperandReader,
    UnknownExpressionError,
    attribute_of,
    parts_of,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tiergate.cedar import Policy
    from tiergate.engine.cedar_context import ContextTerm


_ORDERED: Final = frozenset({"long", "datetime", "duration"})
_COMPARABLE: Final = _ORDERED | {"bool", "text"}
_CATALOG_TYPES: Final = frozenset({"Action", "Feature", "Item", "Tag"})
"""Types whose literal entities are the same for every check; what others lead to may be the principal."""

_PURE: Final = frozenset(
    [
        *["&&", "||", "!", "if-then-else", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "neg"],
        *[".", "has", "getTag", "hasTag", "in", "is", "like", "Set", "Record"],
        *["contains", "containsAll", "containsAny", "isEmpty"],
        *["datetime", "duration", "offset", "durationSince", "toDate", "toTime", *WHOLE_UNITS],
        *["decimal", "lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual"],
        *["ip", "isIpv4", "isIpv6", "isLoopback", "isMulticast", "isInRange"],
    ]
)
"""Operators and functions whose outcome depends on their operands alone."""


class UnreadableConditionError(Exception):
    """A condition that only Cedar can evaluate, each time."""


class _Test(NamedTuple):
    """A test in Python: true, false, or if it is `optional`, `None` where Cedar fails.

    `negated`: what stands in the condition is the opposite.
    """

    code: str
    optional: bool = False
    negated: bool = False

    @property
    def truth(self) -> str:
        """The expression of what the test says."""
        if not self.negated:
            return f"({self.code})"
        return f"(None if ({self.code}) is None else not ({self.code}))" if self.optional else f"(not ({self.code}))"


class ConditionReader(OperandReader):
    """Collects what conditions depend on, in the context of one kind of check."""

    def __init__(self, terms: Mapping[str, ContextTerm]) -> None:
        super().__init__(terms)
        self._mixed: set[int] = set()
        self.tests: dict[str, None] = {}
        self.values: dict[str, None] = {}
        self.reads_whole_principal = False

    def read(self, policy: Policy) -> None:
        """Collect what the conditions of a policy depend on; raises `UnreadableConditionError`."""
        try:
            for clause in policy.json["conditions"]:
                self._find_context(clause["body"])
                self._condition(clause["body"])
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise UnreadableConditionError(f"not the JSON of a condition: {error}") from None

    def _condition(self, node: Json) -> None:
        """Collect the tests of a condition, of its largest parts that are one test."""
        try:
            whole = self._about_whom(node)
        except UnknownExpressionError:
            pass
        else:
            self._collect(whole)
            return
        op, body = parts_of(node)
        if op in ("&&", "||"):
            self._condition(body["left"])
            self._condition(body["right"])
        elif op == "!":
            self._condition(body["arg"])
        elif op == "if-then-else":
            for part in ("if", "then", "else"):
                self._condition(body[part])
        else:
            try:
                self._collect(self._test(node))
            except AlwaysFailsError:
                pass
            except UnknownExpressionError:
                self._depend_on(node)

    def _collect(self, test: _Test | bool) -> None:  # noqa: FBT001 - a test, or what it always says
        if not isinstance(test, bool):
            self.tests[test.code] = None

    def _about_whom(self, node: Json) -> _Test | bool:
        """Read a part of a condition that does not read the context as one test, with Cedar's short circuits.

        Python's `and` has them too: what follows `False` or `None` is not evaluated, and `None` stays `None`.
        """
        if id(node) in self._mixed:
            raise UnknownExpressionError
        op, body = parts_of(node)
        if op == "&&":
            left, right = self._about_whom(body["left"]), self._about_whom(body["right"])
            if isinstance(left, bool):
                return right if left else False
            if isinstance(right, bool):
                return left if right else self._both(left, _Test("False"))
            return self._both(left, right)
        if op == "||":
            left, right = self._about_whom(body["left"]), self._about_whom(body["right"])
            if isinstance(left, bool):
                return True if left else right
            other = _Test(repr(right)) if isinstance(right, bool) else right
            return self._either(left, other)
        if op == "!":
            test = self._about_whom(body["arg"])
            return not test if isinstance(test, bool) else test._replace(negated=not test.negated)
        return self._test(node)

    def _find_context(self, node: object) -> bool:
        """Note which parts of a condition read the context; return whether any does."""
        children = node if isinstance(node, list) else list(node.values()) if isinstance(node, dict) else []
        below = [self._find_context(child) for child in children]
        reads = node == CONTEXT or any(below)
        if reads:
            self._mixed.add(id(node))
        return reads

    @staticmethod
    def _both(left: _Test, right: _Test) -> _Test:
        return _Test(f"{left.truth} and {right.truth}", left.optional or right.optional)

    def _either(self, left: _Test, right: _Test) -> _Test:
        if not left.optional:
            return _Test(f"{left.truth} or {right.truth}", right.optional)
        whole = left.truth
        return _Test(f"{whole} if {whole} is not False else {right.truth}", optional=True)

    def _test(self, node: Json) -> _Test | bool:
        op, body = parts_of(node)
        read = self._TESTS.get(op)
        if read is None:
            raise UnknownExpressionError
        return read(self, op, body)

    # ── tests ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _constant(self, _: str, body: object) -> bool:
        if isinstance(body, bool):
            return body
        raise UnknownExpressionError

    def _flag(self, op: str, body: Json) -> _Test:
        operand = self._operand({op: body})
        if operand.type != "bool":
            raise UnknownExpressionError
        return _Test(operand.code)

    def _order(self, op: str, body: Json) -> _Test:
        left, right = self._operand(body["left"]), self._operand(body["right"])
        if left.type != right.type or left.type not in _ORDERED:
            raise UnknownExpressionError
        # `a > b` is the opposite of `a <= b`, so it is the same test.
        test = _if_present(f"{left.code} {'<=' if op in ('<=', '>') else '<'} {right.code}", left, right)
        return test._replace(negated=op in (">", ">="))

    def _equality(self, op: str, body: Json) -> _Test:
        for one, other in (("left", "right"), ("right", "left")):
            uid = _entity(body[other])
            if uid is None:
                continue
            if body[one] == PRINCIPAL:
                return _Test(f"principal == {self._name(uid)}", negated=op == "!=")
            if body[one] == RESOURCE:
                return _Test(_is_feature_in(uid, tags=False), negated=op == "!=")
        left, right = self._operand(body["left"]), self._operand(body["right"])
        if left.type != right.type or left.type not in _COMPARABLE:
            raise UnknownExpressionError
        return _if_present(f"{left.code} == {right.code}", left, right)._replace(negated=op == "!=")

    def _has(self, _: str, body: Json) -> _Test | bool:
        """Read `has`, which is the same in every check of a kind, but for optional values of the context."""
        left, name = body["left"], body["attr"]
        if left == PRINCIPAL:
            return name in ("customer", "tags")
        if left == RESOURCE:
            return name in FEATURE_ATTRIBUTES
        if left == CONTEXT:
            term = self._terms.get(name)
            if term is not None and term.is_optional:
                return _Test(f"{self._term(name, term).code} is not None")
            return term is not None or self._has_record(name)
        record = attribute_of(left, CONTEXT)
        if record not in CONTEXT_RECORDS:
            raise UnknownExpressionError
        if not self._has_record(record):
            raise AlwaysFailsError
        return f"{record}.{name}" in self._terms

    def _has_tag(self, _: str, body: Json) -> _Test:
        if body["left"] != PRINCIPAL:
            raise UnknownExpressionError
        return _Test(f"{text_of(body['right'])!r} in {self._attributes()}")

    def _like(self, _: str, body: Json) -> _Test:
        operand = self._operand(body["left"])
        if operand.type != "text":
            raise UnknownExpressionError
        return _if_present(f"{self._name(_matcher(body['pattern']))}({operand.code})", operand)

    def _contains(self, _: str, body: Json) -> _Test:
        operand = self._operand(body["right"])
        if operand.type != "text":
            raise UnknownExpressionError
        listed = _texts(body["left"])
        whole = self._tags(body["left"]) if listed is None else repr(listed)
        return _if_present(f"{operand.code} in {whole}", operand)

    def _contains_several(self, op: str, body: Json) -> _Test:
        listed = _texts(body["right"])
        if not listed:
            raise UnknownExpressionError
        tags = self._tags(body["left"])
        return _Test((" or " if op == "containsAny" else " and ").join(f"{text!r} in {tags}" for text in listed))

    def _is_empty(self, _: str, body: Json) -> _Test:
        return _Test(f"not {self._tags(body['arg'])}")

    def _in(self, _: str, body: Json) -> _Test:
        uids: list[Uid] = []
        for node in body["right"].get("Set", [body["right"]]):
            uid = _entity(node)
            if uid is None:
                raise UnknownExpressionError
            uids.append(uid)
        if body["left"] == RESOURCE and uids:
            return _Test(" or ".join(f"({_is_feature_in(uid)})" for uid in uids))
        if body["left"] != PRINCIPAL:
            raise UnknownExpressionError
        ancestors = self._local("ancestors", "ancestors_of(principal, subject, facts.active_items.refs)")
        return _Test(f"{ancestors}.isdisjoint({self._name(frozenset(uids))})", negated=True)

    def _is(self, _: str, body: Json) -> _Test | bool:
        if body["left"] == RESOURCE:
            if body["entity_type"] != "Feature":
                return False
            return self._in("in", {"left": RESOURCE, "right": body["in"]}) if "in" in body else True
        if body["left"] != PRINCIPAL:
            raise UnknownExpressionError
        test = _Test(f"principal.type == {str(body['entity_type'])!r}")
        return self._both(test, self._in("in", {"left": PRINCIPAL, "right": body["in"]})) if "in" in body else test

    _TESTS: Final[Mapping[str, Callable[[ConditionReader, str, Any], _Test | bool]]] = {
        "Value": _constant, ".": _flag, "<": _order, "<=": _order, ">": _order, ">=": _order,
        "==": _equality, "!=": _equality, "has": _has, "hasTag": _has_tag, "like": _like, "contains": _contains,
        "containsAny": _contains_several, "containsAll": _contains_several, "isEmpty": _is_empty, "in": _in, "is": _is,
    }  # fmt: skip

    # ── values ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _depend_on(self, node: Json) -> None:
        """Collect the values that an expression reads."""
        op, body = parts_of(node)
        if op == "Value" and not isinstance(body, dict):
            return
        try:
            operand = self._operand(node)
        except AlwaysFailsError:
            return
        except UnknownExpressionError:
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
        elif op != "has" or body["left"] not in (CONTEXT, PRINCIPAL, RESOURCE):
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

    def _value(self, operand: Operand) -> None:
        if (
            operand.type in ("datetime", "duration") and not operand.optional
        ):  # never the same again: it would only fill the table
            raise UnreadableConditionError("the instant itself")
        self.values[operand.code] = None


def _children(op: str, body: object) -> Iterator[Json]:
    """Yield the operands of an operator; a record's are named, a function's and a set's listed."""
    if isinstance(body, list):
        yield from body
    elif isinstance(body, dict):
        if op == "Record":
            yield from body.values()
        else:
            yield from (body[key] for key in ("left", "right", "arg", "if", "then", "else", "in") if key in body)


def _entity(node: Json) -> Uid | None:
    """Return the entity that an expression names literally, if it is one."""
    value = node.get("Value")
    if not isinstance(value, dict) or "__entity" not in value:
        return None
    return Uid(value["__entity"]["type"], value["__entity"]["id"])


def _texts(node: Json) -> tuple[str, ...] | None:
    """Return a set of literal texts, if an expression is one."""
    return tuple(text_of(element) for element in node["Set"]) if "Set" in node else None


def _if_present(code: str, *operands: Operand) -> _Test:
    """Return a test that is `None` where an operand is absent."""
    optional = [operand.code for operand in operands if operand.optional]
    if not optional:
        return _Test(code)
    present = " and ".join(f"{name} is not None" for name in optional)
    return _Test(f"({code}) if {present} else None", optional=True)


def _is_feature_in(uid: Uid, *, tags: bool = True) -> str:
    """Return the test whether the feature is an entity, or with `tags` in it."""
    if uid.type == "Feature":
        return f"facts.feature.id == {uid.id!r}"
    return f"{uid.id!r} in facts.feature.tags" if uid.type == "Tag" and tags else "False"


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
