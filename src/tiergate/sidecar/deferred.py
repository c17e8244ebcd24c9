"""A value that comes later, without the cost of a future. For the event loop's thread only."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
U = TypeVar("U")


class Deferred(Generic[T]):
    """A value that `resolve` gives to the one callback of `then`, whichever comes first."""

    __slots__ = ("_callback", "_changes", "_is_resolved", "_value")

    def __init__(self) -> None:
        self._callback: Callable[[T], None] | None = None
        self._changes: tuple[Callable[[Any], Any], ...] = ()
        self._is_resolved = False
        self._value: T

    def resolve(self, value: T) -> None:
        """Set the value, once."""
        for change in self._changes:
            value = change(value)
        if self._callback is not None:
            self._callback(value)
        else:
            self._is_resolved = True
            self._value = value

    def then(self, callback: Callable[[T], None]) -> None:
        """Call back with the value: now, if it is there."""
        if self._is_resolved:
            callback(self._value)
        else:
            self._callback = callback

    def map(self, change: Callable[[T], U]) -> Deferred[U]:
        """Return what `change` makes of the value. Use that instead of this: it is the same object, to save time."""
        mapped = cast("Deferred[U]", self)
        if self._is_resolved:
            mapped._value = change(self._value)  # noqa: SLF001 - of this class
        else:
            self._changes = (*self._changes, change)
        return mapped

    async def wait(self) -> T:
        """Return the value."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.then(lambda value: None if future.done() else future.set_result(value))
        return await future
