"""Decision diagrams: Boolean functions of variables with a few values each, compared exactly.

A function is a node, and equal functions are the same node. Variables are tested in one fixed order. A function beyond
the bounds raises `TooLargeError`: nothing is cut off silently.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FALSE: Final = 0
TRUE: Final = 1

_MOST_NODES: Final = 150_000
_MOST_STEPS: Final = 600_000


class TooLargeError(Exception):
    """A function has more cases than the bounds allow."""


class DecisionDiagrams:
    """Functions of variables 0, 1, …; `sizes`: the number of values of each variable."""

    def __init__(self, sizes: list[int]) -> None:
        self.sizes = sizes
        self._nodes: list[tuple[int, tuple[int, ...]]] = [(len(sizes), ()), (len(sizes), ())]
        self._known: dict[tuple[int, tuple[int, ...]], int] = {}
        self._negated: dict[int, int] = {FALSE: TRUE, TRUE: FALSE}
        self._both: dict[tuple[int, int], int] = {}
        self._steps = 0

    def _node(self, variable: int, children: tuple[int, ...]) -> int:
        first = children[0]
        if all(it == first for it in children):
            return first
        key = (variable, children)
        node = self._known.get(key)
        if node is None:
            if len(self._nodes) > _MOST_NODES:
                raise TooLargeError
            node = self._known[key] = len(self._nodes)
            self._nodes.append(key)
        return node

    def test(self, variable: int, accepts: Callable[[int], bool]) -> int:
        """Return the function that is true if a variable has an accepted value."""
        return self._node(variable, tuple(TRUE if accepts(entry) else FALSE for entry in range(self.sizes[variable])))

    def negated(self, one: int) -> int:
        """Return the negation of a function."""
        result = self._negated.get(one)
        if result is None:
            variable, children = self._nodes[one]
            result = self._negated[one] = self._node(variable, tuple([self.negated(value) for value in children]))
            self._negated[result] = one
        return result

    def both(self, left: int, right: int) -> int:
        """Return the conjunction of two functions."""
        if right in {left, TRUE}:
            return left
        if left == TRUE:
            return right
        if FALSE in {left, right}:
            return FALSE
        key = (left, right) if left < right else (right, left)
        result = self._both.get(key)
        if result is None:
            self._steps += 1
            if self._steps > _MOST_STEPS:
                raise TooLargeError
            (first, left_children), (second, right_children) = self._nodes[left], self._nodes[right]
            if first == second:
                children = [self.both(a, b) for a, b in zip(left_children, right_children, strict=True)]
            elif first < second:
                children = [self.both(a, right) for a in left_children]
            else:
                children = [self.both(left, b) for b in right_children]
            result = self._both[key] = self._node(min(first, second), tuple(children))
        return result

    def either(self, left: int, right: int) -> int:
        """Return the disjunction of two functions."""
        return self.negated(self.both(self.negated(left), self.negated(right)))

    def paths(self, function: int) -> Iterator[dict[int, list[int]]]:
        """Yield ways to make a function true: the values allowed for each variable; others may have any."""
        if function == TRUE:
            yield {}
        if function in {FALSE, TRUE}:
            return
        variable, children = self._nodes[function]
        groups: dict[int, list[int]] = {}
        for value, child in enumerate(children):
            if child != FALSE:
                groups.setdefault(child, []).append(value)
        for child, values in groups.items():
            for rest in self.paths(child):
                yield {variable: values, **rest}
