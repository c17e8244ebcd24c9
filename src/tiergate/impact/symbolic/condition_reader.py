"""Read Cedar conditions as formulas: JSON in, truth and failure out, in one symbolic context.

INVARIANT (what is not understood is not proved): an unsupported expression is an atom of its own, which may be true,
false or fail whatever the rest is. It is the same atom on both sides only if it is the same expression on the same
data.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tiergate.cedar import Uid
from tiergate.engine.cedar_context import CONTEXT_RECORDS
from tiergate.impact.symbolic.arithmetic import PARTS, arithmetic, duration, instant, ordered, part_of
from tiergate.impact.symbolic.condition_terms import (
    AttributeTerm,
    ContextTerm,
    CustomerTerm,
    PrincipalTerm,
    RecordTerm,
    SetTerm,
    StatusTerm,
    StepTerm,
    TagsTerm,
    Term,
    TermResult,
    TextTerm,
    UnsupportedExpressionError,
    entity_attribute,
    entity_tags,
    has_attribute,
    parse_term,
    parse_uid,
)
from tiergate.impact.symbolic.formulas import (
    Atom,
    Formula,
    Linear,
    Truth,
    all_of,
    any_of,
    both,
    either,
    equals,
    negated,
)
from tiergate.impact.symbolic.symbolic_context import matches_pattern
from tiergate.model import Status

if TYPE_CHECKING:
    from tiergate.cedar import Policy
    from tiergate.impact.symbolic.symbolic_context import SymbolicContext

_SUBJECTS: Final = frozenset({"Customer", "Subscription", "User"})


def read_policy(policy: Policy, scene: SymbolicContext) -> Truth:
    """Read the scope and conditions of a policy: when it applies to a check of the feature, and when it fails."""
    reader = _Reader(scene)
    whole = Truth(true=True)
    for part in ("action", "resource", "principal"):
        whole = _and(whole, reader.scope(part, policy.json[part]))
    return whole if whole.true is False else _and(whole, read_conditions(policy, scene))


def read_conditions(policy: Policy, scene: SymbolicContext) -> Truth:
    """Read only the conditions of a policy."""
    reader = _Reader(scene)
    whole = Truth(true=True)
    for condition in policy.json["conditions"]:
        truth = reader.truth(condition["body"])
        whole = _and(whole, truth if condition["kind"] == "when" else Truth(truth.false, truth.errs))
    return whole


def _and(left: Truth, right: Truth) -> Truth:
    return Truth(both(left.true, right.true), either(left.errs, both(left.true, right.errs)))


class _Reader:
    def __init__(self, scene: SymbolicContext) -> None:
        self.scene = scene

    # ── scope ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def scope(self, part: str, scope: dict[str, Any]) -> Truth:
        subject = self._variable(part).term
        op = scope["op"]
        if op == "All":
            return Truth(true=True)
        if op == "is":
            is_type = self._is(subject, scope["entity_type"])
            inside = scope.get("in")
            return Truth(both(is_type, self._in(subject, [parse_uid(inside["entity"])])) if inside else is_type)
        entities = [parse_uid(entry) for entry in (scope["entities"] if "entities" in scope else [scope["entity"]])]
        if op == "==":
            return Truth(self._equal(subject, entities[0]))
        return Truth(self._in(subject, entities))

    def _variable(self, name: str) -> TermResult:
        match name:
            case "principal":
                return TermResult(PrincipalTerm())
            case "action":
                return TermResult(Uid("Action", self.scene.action))
            case "resource":
                return TermResult(Uid("Feature", self.scene.feature.id))
            case _:
                return TermResult(ContextTerm())

    # ── Boolean expressions ──────────────────────────────────────────────────────────────────────────────────────────

    def truth(self, node: dict[str, Any]) -> Truth:
        """Read a Boolean expression; an unsupported one is an atom of its own."""
        try:
            term, errs = self._value(node)
        except UnsupportedExpressionError:
            return self._unread(node)
        return term.but(errs) if isinstance(term, Truth) else self._unread(node)

    def _unread(self, node: dict[str, Any]) -> Truth:
        about = ("unread", json.dumps(node, sort_keys=True), self.scene.fingerprint)
        return Truth(Atom(about, 1), Atom(about, 2))

    def _value(self, node: dict[str, Any]) -> TermResult:
        ((op, body),) = node.items()
        read = getattr(self, f"_read_{_METHODS[op]}", None) if op in _METHODS else None
        if read is not None:
            result: TermResult = read(op, body)
            return result
        raise UnsupportedExpressionError

    def _read_value(self, _: str, body: object) -> TermResult:
        match body:
            case bool():
                return TermResult(Truth(true=body))
            case int():
                return TermResult(Linear((), body))
            case str():
                return TermResult(TextTerm(body))
            case {"__entity": entity}:
                return TermResult(parse_uid(entity))
            case _:
                raise UnsupportedExpressionError

    def _read_var(self, _: str, body: str) -> TermResult:
        return self._variable(body)

    def _read_logic(self, op: str, body: dict[str, Any]) -> TermResult:
        left, right = self.truth(body["left"]), self.truth(body["right"])
        if op == "&&":
            return TermResult(_and(left, right))
        return TermResult(Truth(either(left.true, both(left.false, right.true)), _failing(left, right)))

    def _read_not(self, _: str, body: dict[str, Any]) -> TermResult:
        operand = self.truth(body["arg"])
        return TermResult(Truth(operand.false, operand.errs))

    def _read_if(self, _: str, body: dict[str, Any]) -> TermResult:
        test = self.truth(body["if"])
        if test == Truth(true=True):
            return self._value(body["then"])
        if test == Truth(true=False):
            return self._value(body["else"])
        first, second = self._value(body["then"]), self._value(body["else"])
        errs = either(test.errs, either(both(test.true, first.errs), both(test.false, second.errs)))
        if isinstance(first.term, Truth) and isinstance(second.term, Truth):
            true = either(both(test.true, first.term.true), both(test.false, second.term.true))
            inner = either(both(test.true, first.term.errs), both(test.false, second.term.errs))
            return TermResult(Truth(true, inner), errs)
        if first.term == second.term:
            return TermResult(first.term, errs)
        raise UnsupportedExpressionError

    def _read_equality(self, op: str, body: dict[str, Any]) -> TermResult:
        left, right = self._value(body["left"]), self._value(body["right"])
        same = self._equal(left.term, right.term)
        return TermResult(Truth(same if op == "==" else negated(same)), either(left.errs, right.errs))

    def _read_order(self, op: str, body: dict[str, Any]) -> TermResult:
        left, right = self._value(body["left"]), self._value(body["right"])
        errs = either(left.errs, right.errs)
        smaller, larger = left.term, right.term
        if op in {">", ">="}:
            smaller, larger = larger, smaller
        strict = op in {"<", ">"}
        return TermResult(Truth(ordered(smaller, larger, strict=strict)), errs)

    # ── numbers and time ─────────────────────────────────────────────────────────────────────────────────────────────

    def _read_arithmetic(self, op: str, body: dict[str, Any]) -> TermResult:
        return arithmetic(op, self._value(body["left"]), self._value(body["right"]))

    def _read_negative(self, _: str, body: dict[str, Any]) -> TermResult:
        return arithmetic("*", self._value(body["arg"]), TermResult(Linear((), -1)))

    def _read_constant(self, op: str, body: list[dict[str, Any]]) -> TermResult:
        text = body[0].get("Value")
        if not isinstance(text, str):
            raise UnsupportedExpressionError
        return TermResult(instant(text) if op == "datetime" else duration(text))

    def _read_shift(self, op: str, body: list[dict[str, Any]]) -> TermResult:
        return arithmetic("+" if op == "offset" else "-", self._value(body[0]), self._value(body[1]))

    def _read_part(self, op: str, body: list[dict[str, Any]]) -> TermResult:
        return part_of(op, self._value(body[0]), self.scene)

    # ── attributes and tags ──────────────────────────────────────────────────────────────────────────────────────────

    def _read_attribute(self, _: str, body: dict[str, Any]) -> TermResult:
        of, name = self._value(body["left"]), body["attr"]
        match of.term:
            case ContextTerm(path="") if name == "resetsAt":
                return TermResult(self._of_context(name), either(of.errs, negated(self.scene.has_reset())))
            case ContextTerm(path=path):
                return TermResult(self._of_context(f"{path}{name}"), of.errs)
            case PrincipalTerm() if name == "tags":
                return TermResult(TagsTerm(), of.errs)
            case PrincipalTerm() if name == "customer":
                return TermResult(CustomerTerm(), of.errs)
            case Uid() as uid:
                return TermResult(entity_attribute(uid, name, self.scene.data), of.errs)
            case RecordTerm(fields=fields) if name in fields:
                return TermResult(fields[name], of.errs)
            case _:
                raise UnsupportedExpressionError

    def _of_context(self, name: str) -> Term:
        if name in CONTEXT_RECORDS and self.scene.has(name):
            return ContextTerm(f"{name}.")
        if name == "status":
            return StatusTerm()
        fact = self.scene.fact(name)
        if fact is not None:
            return Truth(fact)
        number = self.scene.number(name)
        if number is None:
            raise UnsupportedExpressionError
        return number

    def _read_has(self, _: str, body: dict[str, Any]) -> TermResult:
        of, name = self._value(body["left"]), body["attr"]
        result: bool
        match of.term:
            case ContextTerm(path="") if name == "resetsAt":
                return TermResult(Truth(self.scene.has_reset()), of.errs)
            case ContextTerm(path=""):
                result = self.scene.has(name)
            case ContextTerm(path="draws."):
                result = name in {"used", "amount", "ceiling"}
            case ContextTerm():
                result = name in {"limit", "used"}
            case PrincipalTerm():
                result = name in {"customer", "tags"}
            case Uid() as uid:
                result = has_attribute(uid, name, self.scene.data)
            case RecordTerm(fields=fields):
                result = name in fields
            case _:
                raise UnsupportedExpressionError
        return TermResult(Truth(true=result), of.errs)

    def _read_tag(self, op: str, body: dict[str, Any]) -> TermResult:
        of, key = self._value(body["left"]), self._value(body["right"])
        errs = either(of.errs, key.errs)
        if not isinstance(key.term, TextTerm):
            raise UnsupportedExpressionError
        name = key.term.value
        if isinstance(of.term, PrincipalTerm):
            present = self.scene.attribute(name, ("present", ""))
            if op == "hasTag":
                return TermResult(Truth(present), errs)
            return TermResult(AttributeTerm(name), either(errs, negated(present)))
        if not isinstance(of.term, Uid) or of.term.type in _SUBJECTS:
            raise UnsupportedExpressionError
        tags = entity_tags(of.term, self.scene.data)
        if op == "hasTag":
            return TermResult(Truth(true=name in tags), errs)
        if name not in tags:
            return TermResult(TextTerm(""), errs=True)
        return TermResult(parse_term(tags[name], self.scene.data), errs)

    def _read_like(self, _: str, body: dict[str, Any]) -> TermResult:
        of = self._value(body["left"])
        pattern: tuple[str | None, ...] = ()
        for part in body["pattern"]:
            pattern += (None,) if part == "Wildcard" else tuple(part["Literal"])
        match of.term:
            case TextTerm(value=value):
                return TermResult(Truth(true=matches_pattern(value, pattern)), of.errs)
            case AttributeTerm(key=key):
                return TermResult(Truth(self.scene.attribute(key, ("like", pattern))), of.errs)
            case CustomerTerm():
                return TermResult(Truth(self.scene.who(("like", pattern))), of.errs)
            case StatusTerm():
                fitting = (status.rank for status in Status if matches_pattern(status.value, pattern))
                return TermResult(Truth(any_of(map(self.scene.status, fitting))), of.errs)
            case _:
                raise UnsupportedExpressionError

    # ── entities ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _read_is(self, _: str, body: dict[str, Any]) -> TermResult:
        of = self._value(body["left"])
        formula, errs = self._is(of.term, body["entity_type"]), of.errs
        if "in" in body:
            group = self._value(body["in"])
            formula, errs = both(formula, self._in(of.term, _entities(group.term))), either(errs, group.errs)
        return TermResult(Truth(formula), errs)

    def _is(self, term: Term, kind: str) -> Formula:
        match term:
            case PrincipalTerm():
                return self.scene.who(("is", kind))
            case Uid():
                return term.type == kind
            case _:
                raise UnsupportedExpressionError

    def _read_in(self, _: str, body: dict[str, Any]) -> TermResult:
        of, group = self._value(body["left"]), self._value(body["right"])
        return TermResult(Truth(self._in(of.term, _entities(group.term))), either(of.errs, group.errs))

    def _in(self, term: Term, entities: list[Uid]) -> Formula:
        match term:
            case Uid():
                within = self.scene.data.parents(term)
                return any(it == term or it in within for it in entities)
            case PrincipalTerm():
                formula: Formula = False
                for entity in entities:
                    if entity.type == "Item":
                        formula = either(formula, self.scene.member(entity.id))
                    elif entity.type in _SUBJECTS:
                        formula = either(formula, self.scene.who(("in", entity)))
                return formula
            case _:
                raise UnsupportedExpressionError

    def _equal(self, left: Term, right: Term) -> Formula:
        match left, right:
            case (Truth(), Truth()) if left.errs is False and right.errs is False:
                return either(both(left.true, right.true), both(left.false, right.false))
            case (Linear(), Linear()):
                return equals(left, right)
            case (StepTerm(), Linear()) | (Linear(), StepTerm()):
                return both(ordered(left, right, strict=False), ordered(right, left, strict=False))
            case (TextTerm(), TextTerm()) | (Uid(), Uid()):
                return left == right
            case (AttributeTerm(key=key), TextTerm(value=value)) | (TextTerm(value=value), AttributeTerm(key=key)):
                return self.scene.attribute(key, ("is", value))
            case (CustomerTerm(), TextTerm(value=value)) | (TextTerm(value=value), CustomerTerm()):
                return self.scene.who(("customer", value))
            case (StatusTerm(), StatusTerm()):
                return True
            case (StatusTerm(), (TextTerm() | AttributeTerm() | CustomerTerm()) as other) | (
                (TextTerm() | AttributeTerm() | CustomerTerm()) as other,
                StatusTerm(),
            ):
                same = (both(self.scene.status(it.rank), self._equal(TextTerm(it.value), other)) for it in Status)
                return any_of(same)
            case (PrincipalTerm(), Uid()) | (Uid(), PrincipalTerm()):
                uid = right if isinstance(right, Uid) else left
                return self.scene.who(("equal", uid))
            case (TagsTerm(), SetTerm() as listed) | (SetTerm() as listed, TagsTerm()):
                return both(self._all_tags(listed), self.scene.tags_within(_texts(listed)))
            case _:
                raise UnsupportedExpressionError

    # ── sets and records ─────────────────────────────────────────────────────────────────────────────────────────────

    def _read_set(self, _: str, body: list[dict[str, Any]]) -> TermResult:
        members = [self._value(it) for it in body]
        errs = any_of(it.errs for it in members)
        return TermResult(SetTerm(tuple(it.term for it in members)), errs)

    def _read_record(self, _: str, body: dict[str, Any]) -> TermResult:
        fields = {name: self._value(it) for name, it in body.items()}
        errs = any_of(field.errs for field in fields.values())
        return TermResult(RecordTerm({name: it.term for name, it in fields.items()}), errs)

    def _read_membership(self, op: str, body: dict[str, Any]) -> TermResult:
        left, right = self._value(body["left"]), self._value(body["right"])
        errs = either(left.errs, right.errs)
        match op, left.term, right.term:
            case "contains", TagsTerm(), TextTerm(value=name):
                return TermResult(Truth(self.scene.tag(name)), errs)
            case "contains", SetTerm() as listed, term:
                return TermResult(Truth(self._one_of(listed, term)), errs)
            case "containsAll", TagsTerm(), SetTerm() as listed:
                return TermResult(Truth(self._all_tags(listed)), errs)
            case ("containsAny", TagsTerm(), SetTerm() as listed) | ("containsAny", SetTerm() as listed, TagsTerm()):
                return TermResult(Truth(self._any_tag(listed)), errs)
            case "containsAll", SetTerm() as listed, TagsTerm():
                return TermResult(Truth(self.scene.tags_within(_texts(listed))), errs)
            case "containsAll", SetTerm() as whole, SetTerm() as part:
                return TermResult(Truth(all_of(self._one_of(whole, it) for it in part.members)), errs)
            case "containsAny", SetTerm() as whole, SetTerm() as part:
                return TermResult(Truth(any_of(self._one_of(whole, it) for it in part.members)), errs)
            case _:
                raise UnsupportedExpressionError

    def _read_empty(self, _: str, body: dict[str, Any]) -> TermResult:
        of = self._value(body["arg"])
        match of.term:
            case TagsTerm():
                return TermResult(Truth(self.scene.tags_within(frozenset())), of.errs)
            case SetTerm(members=members):
                return TermResult(Truth(true=not members), of.errs)
            case _:
                raise UnsupportedExpressionError

    def _one_of(self, listed: SetTerm, term: Term) -> Formula:
        return any_of(self._equal(member, term) for member in listed.members)

    def _any_tag(self, listed: SetTerm) -> Formula:
        return any_of(map(self.scene.tag, sorted(_texts(listed))))

    def _all_tags(self, listed: SetTerm) -> Formula:
        return all_of(map(self.scene.tag, sorted(_texts(listed))))


_METHODS: Final = {
    "Value": "value",
    "Var": "var",
    "&&": "logic",
    "||": "logic",
    "!": "not",
    "if-then-else": "if",
    "==": "equality",
    "!=": "equality",
    **dict.fromkeys(("<", "<=", ">", ">="), "order"),
    **dict.fromkeys(("+", "-", "*"), "arithmetic"),
    "neg": "negative",
    "datetime": "constant",
    "duration": "constant",
    "offset": "shift",
    "durationSince": "shift",
    **dict.fromkeys(PARTS, "part"),
    ".": "attribute",
    "has": "has",
    "getTag": "tag",
    "hasTag": "tag",
    "like": "like",
    "is": "is",
    "in": "in",
    "Set": "set",
    "Record": "record",
    **dict.fromkeys(("contains", "containsAll", "containsAny"), "membership"),
    "isEmpty": "empty",
}


def _failing(left: Truth, right: Truth) -> Formula:
    return either(left.errs, both(left.false, right.errs))


def _entities(term: Term) -> list[Uid]:
    members: tuple[Term, ...] = term.members if isinstance(term, SetTerm) else (term,)
    uids = [value for value in members if isinstance(value, Uid)]
    if len(uids) < len(members):
        raise UnsupportedExpressionError
    return uids


def _texts(listed: SetTerm) -> frozenset[str]:
    texts = frozenset(it.value for it in listed.members if isinstance(it, TextTerm))
    if any(not isinstance(it, TextTerm) for it in listed.members):
        raise UnsupportedExpressionError
    return texts
