"""What the conditions of a rule read, and whether deciding at boundaries shows all that they can come to.

It does where a condition only compares what is asked with numbers: of `amount`, `used`, their sum, `value`, `rank`, and
`now`. INVARIANT (what is not understood is not proved): whatever else a condition reads is an obstacle.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tiergate.model import parse_instant

if TYPE_CHECKING:
    from tiergate.cedar import Policy
    from tiergate.model import Instant

__all__ = ["Reading", "read"]

_NUMBERS: Final = frozenset({"amount", "used", "value", "rank"})
_COMPARISONS: Final = ("==", "!=", "<", "<=", ">", ">=")
_OF_SUBJECT: Final = {"tags": "reads the tags of the subject", "customer": "reads the id of the customer"}


@dataclass
class Reading:
    """What one or several rules compare with: numbers in units by name (`together`: amount and used), and instants.

    `texts`: every text that stands in a condition. `keys`: the attributes of the subject that are read.
    `obstacles`: why deciding at these boundaries does not show everything.
    """

    numbers: dict[str, set[int]] = field(default_factory=dict)
    instants: set[Instant] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    obstacles: list[str] = field(default_factory=list)

    def add(self, other: Reading) -> None:
        """Read what another one reads too."""
        for name, numbers in other.numbers.items():
            self.numbers.setdefault(name, set()).update(numbers)
        self.instants |= other.instants
        self.texts |= other.texts
        self.keys |= other.keys
        self.obstacles += other.obstacles


def read(policy: Policy) -> Reading:
    """Read the conditions of a rule. Of its scope, everything is decided anyway."""
    reading = Reading()
    for condition in policy.json["conditions"]:
        _collect(condition["body"], reading)
        _test(condition["body"], reading)
    reading.obstacles = list(dict.fromkeys(reading.obstacles))
    return reading


def _collect(tree: object, reading: Reading) -> None:
    """Find every text and attribute, wherever it stands."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict):
            value = node.get("Value")
            if isinstance(value, str):
                reading.texts.add(value)
            for op in ("getTag", "hasTag"):
                right = node[op]["right"] if op in node else {}
                if isinstance(right.get("Value"), str):
                    reading.keys.add(right["Value"])
            stack.extend(node.values())


def _test(node: dict[str, Any], reading: Reading) -> None:
    """Read one that is true or false."""
    for op in ("&&", "||"):
        if op in node:
            _test(node[op]["left"], reading)
            _test(node[op]["right"], reading)
            return
    if "!" in node:
        _test(node["!"]["arg"], reading)
    elif not isinstance(node.get("Value"), bool) and not _is_type_test(node):
        sides = next((node[it] for it in _COMPARISONS if it in node), None)
        if sides is None or not _compares(sides, reading):
            reading.obstacles.append(_obstacle(node))


def _compares(sides: dict[str, Any], reading: Reading) -> bool:
    for one, other in ((sides["left"], sides["right"]), (sides["right"], sides["left"])):
        name, number = _term(one), other.get("Value")
        if name and isinstance(number, int) and not isinstance(number, bool):
            reading.numbers.setdefault(name, set()).add(number)
            return True
        if _context(one) == "now" and "datetime" in other:
            text = other["datetime"][0].get("Value")
            try:
                reading.instants.add(parse_instant(text))
            except (ValueError, TypeError):
                return False
            return True
    return False


def _term(node: dict[str, Any]) -> str:
    """The name of what is compared; nothing where it is not understood."""
    if "+" in node and {_context(node["+"]["left"]), _context(node["+"]["right"])} == {"amount", "used"}:
        return "together"
    name = _context(node)
    return name if name in _NUMBERS else ""


def _context(node: dict[str, Any]) -> str:
    access = node.get(".")
    if isinstance(access, dict) and access["left"] == {"Var": "context"}:
        return str(access["attr"])
    return ""


def _is_type_test(node: dict[str, Any]) -> bool:
    """Say whether it asks for the type of the subject alone."""
    test = node.get("is", {})
    return "in" not in test and test.get("left") == {"Var": "principal"}


def _obstacle(tree: object) -> str:
    """Say what a condition reads that is not decided at every boundary."""
    stack = [tree]
    found = []
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict):
            if "getTag" in node or "hasTag" in node:
                found.append("reads attributes of the subject, or what an item gives")
            for op in (".", "has"):
                access = node.get(op)
                if isinstance(access, dict) and access.get("left") == {"Var": "context"}:
                    found.append(f"reads `context.{access['attr']}`")
                elif isinstance(access, dict) and access.get("left") == {"Var": "principal"}:
                    found.append(_OF_SUBJECT.get(access["attr"], f"reads `principal.{access['attr']}`"))
                elif isinstance(access, dict) and access.get("left") == {"Var": "resource"}:
                    found.append(f"reads `resource.{access['attr']}`")
            if "__entity" in node:
                found.append(f"""tests for `{node["__entity"]["type"]}::"{node["__entity"]["id"]}"`""")
            stack.extend(node.values())
    return min(found, default="has a condition that is not only a comparison with a number", key=len)
