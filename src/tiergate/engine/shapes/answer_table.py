"""Cedar's answers by shape and key. Bounded: a full table is emptied, and Cedar is asked once more for each key."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tiergate.naming import policy_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.cedar import CedarResult
    from tiergate.engine.shapes.shape import Shape
    from tiergate.model import Reason

_ANSWER_BYTES = 450
"""An answer with its key of about 20 tests, as measured."""


class Answer(NamedTuple):
    """What Cedar answered, without the names of item versions, and the reason that follows from it.

    `static`: the deciding policies that are no item's, sorted. `by_items`: the permits of all item versions that say
    something of the feature decided too.
    """

    allowed: bool
    static: tuple[str, ...]
    by_items: bool
    reason: Reason

    def policies(self, givers: Sequence[str], feature: str) -> tuple[str, ...]:
        """Return the deciding policies for a subject with these item versions, sorted."""
        if not self.by_items:
            return self.static
        names = [policy_id(ref, feature) for ref in givers]
        if self.static or len(names) > 1:
            names += self.static
            names.sort()
        return tuple(names)


def general_answer(result: CedarResult, reason: Reason, givers: Sequence[str], feature: str) -> Answer | None:
    """Take the names of item versions out of an answer; `None` if it must not be kept.

    An answer with an error is not kept. INVARIANT (permits of items are alike): they are links of one template, and
    their scopes match whoever has the items, so all of them decide or none; an answer where they differ is not kept.
    """
    if result.errors:
        return None
    links = {policy_id(ref, feature) for ref in givers}
    static = tuple([name for name in result.policies if name not in links])
    deciding = len(result.policies) - len(static)
    if deciding not in (0, len(links)):
        return None
    return Answer(result.allowed, static, by_items=bool(deciding), reason=reason)


class AnswerTable:
    """Keeps answers in their shapes, at most `entries`, and of about `size` bytes together."""

    def __init__(self, entries: int, size: int) -> None:
        self._most = entries
        self._size = size
        self._shapes: dict[int, Shape] = {}
        self.count = 0
        self.bytes = 0

    def put(self, shape: Shape, key: object, answer: Answer, extra: int = 0) -> None:
        """Keep an answer; `extra`: the bytes that its key has beyond the usual."""
        size = _ANSWER_BYTES + extra
        if not self._most or size > self._size:
            return
        if self.count >= self._most or self.bytes + size > self._size:
            self.clear()
        self._shapes[id(shape)] = shape
        shape.answers[key] = answer
        self.count += 1
        self.bytes += size

    def clear(self) -> None:
        """Forget every answer."""
        for shape in self._shapes.values():
            shape.answers.clear()
        self._shapes.clear()
        self.count = self.bytes = 0

    def shed(self, most: int) -> bool:
        """Forget up to `most` answers; return whether any are left."""
        left = most
        while self._shapes and left > 0:
            shape = next(iter(self._shapes.values()))
            while shape.answers and left > 0:
                shape.answers.popitem()
                left -= 1
            if not shape.answers:
                del self._shapes[id(shape)]
        self.count -= most - left
        if not self._shapes:
            self.bytes = 0
        return bool(self._shapes)
