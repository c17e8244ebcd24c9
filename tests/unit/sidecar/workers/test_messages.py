from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tiergate.sidecar.workers.messages import Held, Hold, Resume, Update, Using, encode, read_as_leader, read_as_worker

if TYPE_CHECKING:
    from tiergate.sidecar.workers.messages import ToLeader, ToWorker


def stream(content: bytes) -> asyncio.StreamReader:
    """A stream with its end."""
    reader = asyncio.StreamReader()
    reader.feed_data(content)
    reader.feed_eof()
    return reader


def test_messages_arrive_as_they_were_sent() -> None:
    """One after the other; one that was cut off is none."""
    sent: list[ToWorker] = [
        Update(7, False, ("shop", 3), None, [("acme", ["s1", "s2"])]),
        Hold(1, release=True),
        Resume(),
    ]
    back: list[ToLeader] = [Using(True, 2, [1, 2]), Held(1)]

    async def read() -> None:
        content = b"".join(map(encode, sent)) + encode(Resume())[:3]
        assert [message async for message in read_as_worker(stream(content))] == sent
        assert [message async for message in read_as_leader(stream(b"".join(map(encode, back))))] == back

    asyncio.run(read())
