"""What no case shows of a field of a feature or an item, and which case would show it."""

from __future__ import annotations

from typing import Final

from tiergate.policytest.coverage.targets import Aspect, TargetKind

_OTHERWISE: Final = {
    Aspect.DECIDES: "it were missing",
    Aspect.LIMIT: "it were one less",
    Aspect.BEYOND: "it were one more",
    Aspect.UNLIMITED: "it were a number",
}
_EARLIER: Final = {Aspect.LIMIT: "it were a millisecond earlier", Aspect.BEYOND: "it were a millisecond later"}
_OTHER: Final = {
    "status": "it became a draft, or stopped being one",
    "combine": "the numbers of one subscription were combined otherwise",
    "across": "the numbers of two subscriptions were combined otherwise",
    "audience": "everybody got it",
    "order": "the next rollout came first",
    "version": "it were another version",
    "levels": "the two were the other way round",
    "limit": "the limit were the other of soft and hard",
}
_FEATURE_CASES: Final = {
    "status": "check the feature: a draft is denied, anything else is not",
    "combine": "let a subject have two of an item that gives it",
    "across": "let a subject have two subscriptions that give it",
    "scale": "name a number with all of its digits",
    "batch": "check amounts at it, and one step above and below",
    "caps": "check with `user_used`, or `usage` of everybody, at the cap and one above",
    "draws": "state `usage` of what it draws on, so that the last amount is granted and the next is not",
    "metered": "state `usage`, and check at the limit and above it",
    "max": "let a subject have more than the maximum, or exactly it",
    "levels": "check each level of a subject with one of the two",
    "suspensions": "check within it, in its first and last millisecond, and just before and after",
    "tags": "check what a rule about the tag decides",
}
_ITEM_CASES: Final = {
    "status": "check what a holder gets: a draft gives nothing",
    "available_for": "let a subject have it for longer than the plan",
    "depends_on": "let a subject have it for longer than the other item",
    "rollouts": "check who gets which version: at its instant and just before, in its audience and outside",
}


def catalog_advice(kind: TargetKind, aspect: Aspect, part: str) -> str:
    """Return what no case shows of a field, such as `caps/per_user`, and the case to add."""
    first, _, rest = part.partition("/")
    last = rest.split("/")[1] if first == "rollouts" and "/" in rest else rest or first
    cases = _FEATURE_CASES if kind is TargetKind.FEATURE else _ITEM_CASES
    if aspect is Aspect.OTHER:
        change = _OTHER.get(last, _OTHER.get(first, "it were the other"))
    elif last in {"from", "until"} or rest.endswith(("/from", "/until")):
        change = _EARLIER.get(aspect, "it were missing")
    else:
        change = _OTHERWISE[aspect]
    return f"no case would fail if {change}: {cases[first]}"
