"""What the leader and a worker tell each other: messages of MessagePack, each after its length in four bytes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from tiergate.model import Instant
from tiergate.sidecar.metrics_snapshot import MetricsSnapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_LENGTH: Final = 4


class Begin(msgspec.Struct, frozen=True, tag=True):
    """The first message to a worker: its number from 1, what it serves on, and how.

    `settings`: as flags. `tcp`, `unix`: the descriptors of its listening sockets. `log_lock`: the descriptor of a file
    that is locked while lines are written to the decision log; `log_key`: the key of hashes in that log. `connections`:
    the most of one listener. `counting`: the path of the leader's socket for what it counts; or, with `absence`, why
    it counts nothing.
    """

    worker: int
    settings: dict[str, list[str]]
    tcp: list[int]
    unix: int | None
    log_lock: int
    log_key: bytes
    connections: int
    counting: str | None = None
    absence: str = "NO_DATA_FOLDER"


class NewGeneration(msgspec.Struct, frozen=True):
    """A generation to activate. `number` is the leader's. `bundle`: its folder; none if the replica contains it."""

    number: int
    publication: int
    revision: str
    replica: str
    bundle: str | None


class Update(msgspec.Struct, frozen=True, tag=True):
    """What changed in one turn of the leader's event loop, and the circumstances after it.

    `changed`: customers with their subscriptions. `position`: the store, and the position in its feed. `statuses`:
    whether reports on the status of features changed.
    """

    stale_at: Instant
    is_unloaded: bool
    position: tuple[str, int] | None = None
    generation: NewGeneration | None = None
    changed: list[tuple[str, list[str]]] = []
    statuses: bool = False


class Hold(msgspec.Struct, frozen=True, tag=True):
    """Answer with `Held` after everything before this. `release`: end the read transaction, until `Resume`."""

    number: int
    release: bool


class Resume(msgspec.Struct, frozen=True, tag=True):
    """Begin the next read transaction."""


class HangUp(msgspec.Struct, frozen=True, tag=True):
    """Read the tokens again, and open the decision log again."""


class Listening(msgspec.Struct, frozen=True, tag=True):
    """The worker accepts connections."""


class Using(msgspec.Struct, frozen=True, tag=True):
    """Whether the worker can decide, the newest generation that it was told, and those that it still uses."""

    is_ready: bool
    newest: int
    generations: list[int]


class Held(msgspec.Struct, frozen=True, tag=True):
    """The answer to the `Hold` of this number."""

    number: int


class Damaged(msgspec.Struct, frozen=True, tag=True):
    """A file that the worker reads is damaged."""


class Counted(msgspec.Struct, frozen=True, tag=True):
    """The worker's metrics, about every second."""

    metrics: MetricsSnapshot


ToWorker: TypeAlias = Begin | Update | Hold | Resume | HangUp
ToLeader: TypeAlias = Listening | Using | Held | Damaged | Counted

_encoder = msgspec.msgpack.Encoder()
_to_worker = msgspec.msgpack.Decoder(ToWorker)
_to_leader = msgspec.msgpack.Decoder(ToLeader)


def encode(message: ToWorker | ToLeader) -> bytes:
    """Return a message with its length."""
    content = _encoder.encode(message)
    return len(content).to_bytes(_LENGTH, "big") + content


async def read_as_worker(reader: asyncio.StreamReader) -> AsyncIterator[ToWorker]:
    """Yield the leader's messages until it ends."""
    async for content in _read(reader):
        yield _to_worker.decode(content)


async def read_as_leader(reader: asyncio.StreamReader) -> AsyncIterator[ToLeader]:
    """Yield a worker's messages until it ends."""
    async for content in _read(reader):
        yield _to_leader.decode(content)


async def _read(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    try:
        while True:
            length = await reader.readexactly(_LENGTH)
            yield await reader.readexactly(int.from_bytes(length, "big"))
    except (asyncio.IncompleteReadError, ConnectionError):
        return
