"""The definitions of a bundle that were read, bounded in entitlements: the earliest make room for the latest.

Every check reads several, so a read is one look-up in a dictionary, without a lock.
"""

from __future__ import annotations

import threading
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeAlias

from tiergate.model import parse_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tiergate.model import Feature, Value

Definition: TypeAlias = "dict[str, Value]"
"""Feature id → value."""

_KEPT_TEXTS: Final = 65_536


class Definitions:
    """Definitions by reference, such as `plan/pro@7`: of at most `limit` entitlements together. For several threads."""

    def __init__(self, limit: int) -> None:
        self._limit = self._room = limit
        self._lock = threading.Lock()
        self._by_ref: dict[str, Definition] = {}
        self.get = self._by_ref.get

    def put(self, ref: str, definition: Definition) -> None:
        """Cache a definition, unless it alone exceeds the limit."""
        size = _size(definition)
        if size > self._limit:
            return
        with self._lock:
            self._drop(ref)
            self._by_ref[ref] = definition
            self._room -= size
            while self._room < 0:
                self._drop(next(iter(self._by_ref)))

    def refs(self) -> list[str]:
        """Return the references of the cached definitions."""
        with self._lock:
            return list(self._by_ref)

    def shed(self, count: int) -> bool:
        """Forget up to `count` definitions; return whether any are left."""
        with self._lock:
            for ref in list(islice(self._by_ref, count)):
                self._drop(ref)
            return bool(self._by_ref)

    def __contains__(self, ref: str) -> bool:
        return ref in self._by_ref

    def _drop(self, ref: str) -> None:
        definition = self._by_ref.pop(ref, None)
        if definition is not None:
            self._room += _size(definition)


class ValueTexts:
    """Parses the values of definitions. Equal texts of features that are read alike are parsed once, and share memory.

    For several threads.
    """

    def __init__(self, features: Mapping[str, Feature]) -> None:
        alike: dict[object, dict[str, Value]] = {}
        self._features = {
            name: (feature, alike.setdefault(_reading(feature), {})) for name, feature in features.items()
        }
        self._parsed = list(alike.values())

    def parse(self, texts: Iterable[tuple[str, str]]) -> Definition:
        """Parse the texts of a definition by feature id.

        Raises:
            ValueError: if a feature is unknown, or cannot have this value.
        """
        definition: Definition = {}
        for name, text in texts:
            found = self._features.get(name)
            if found is None:
                raise ValueError(f"`{name}`, which the catalog does not have")
            feature, parsed = found
            value = parsed.get(text)
            if value is None:
                try:
                    value = parse_value(text, feature)
                except ValueError as error:
                    raise ValueError(f"`{name}` what cannot be read: {error}") from None
                if len(parsed) < _KEPT_TEXTS:
                    parsed[text] = value
            definition[feature.id] = value  # equal ids share memory too
        return definition

    def shed(self, count: int) -> bool:
        """Forget up to `count` parsed texts; return whether any are left."""
        for parsed in self._parsed:
            for text in list(islice(parsed, count)):
                parsed.pop(text, None)
        return any(self._parsed)


def adoptable(
    definitions: Definitions, before: Mapping[str, Feature], after: Mapping[str, Feature]
) -> Iterator[tuple[str, Definition]]:
    """Yield the cached definitions that mean the same under other features, as far as these decide that."""
    same = {name for name, feature in after.items() if name in before and _reading(before[name]) == _reading(feature)}
    for ref in definitions.refs():
        definition = definitions.get(ref)
        if definition is not None and (len(same) == len(before) or definition.keys() <= same):
            yield ref, definition


def _reading(feature: Feature) -> tuple[object, ...]:
    """Return what the meaning of a value's text depends on."""
    return feature.type, feature.scale, feature.labels


def _size(definition: Definition) -> int:
    """Return the number of entitlements, and one for the definition itself."""
    return len(definition) + 1
