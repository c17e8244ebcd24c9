"""Work in threads that nobody waits for at the end: for what may never come back, such as a look at a dead file system.

A thread of the event loop's own pool that hangs would hold up the end of the process; one of these does not.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def run_detached(do: Callable[[], T], name: str) -> asyncio.Future[T]:
    """Do something in a thread of its own, and return what becomes of it. From the event loop's thread.

    Cancelling the future stops nothing: its outcome is then thrown away.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type] # there is one where there is no error

    def run() -> None:
        result, failure = None, None
        try:
            result = do()
        except BaseException as error:  # noqa: BLE001 - handed on
            failure = error
        with suppress(RuntimeError):  # the loop has ended, and nobody asks any more
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
