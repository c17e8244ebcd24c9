"""A value that comes later, without the cost of a future. For the event loop's thread only."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Deferred(Generic[T]):
    """A value that `resolve` gives to the one callback of `then`, whichever comes first."""

    __slots__ = ("_callback", "_value")

    def __init__(self) -> None:
        self._callback: Callable[[T], None] | None = None
        self._value: list[T] = []

    def resolve(self, value: T) -> None:
        """Set the value, once."""
        if self._callback is not None:
            self._callback(value)
        else:
            self._value.append(value)

    def then(self, callback: Callable[[T], None]) -> None:
        """Call back with the value: now, if it is there."""
        if self._value:
            callback(self._value[0])
        else:
            self._callback = callback

    async def wait(self) -> T:
        """Return the value."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.then(lambda value: None if future.done() else future.set_result(value))
        return await future
