"""Who asks the ledger in the rows about leases: holders by themselves, callers of each unit, and whole sidecars."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from tests.leasing_sidecar import LeasingSidecar, Wire
from tests.serving import customer
from tests.usage_ledgers import MemoryLedger
from tiergate.errors import SyncError
from tiergate.model import BEGINNING
from tiergate.usage.accounts import Account, Consumption, Debit, Scope
from tiergate.usage.protocol import (
    Acquire,
    DirectDebit,
    Granted,
    Hello,
    HourlyUse,
    Need,
    Report,
    Request,
    Settle,
    Spend,
    decode_reply,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

    from benchmarks.control_planes import ControlPlane
    from tiergate.usage.protocol import Operation, Reply

_HOUR = 3_600_000
_CALLERS = 16
"""How many consume at once at each sidecar."""


class LedgerCaller(Protocol):
    """Asks the ledger until an instant of the monotonic clock."""

    async def run(self, until: float) -> int:
        """Ask; return how many units of work were done."""
        ...


class LedgerConnection:
    """A connection to the ledger's endpoint."""

    def __init__(self, plane: ControlPlane) -> None:
        address = urlsplit(plane.url)
        self._host, self._port = address.hostname, address.port
        key = plane.sync.headers["authorization"]
        self._head = f"POST /v1/sync/usage HTTP/1.1\r\nhost: bench\r\nauthorization: {key}\r\n"
        self._head += "content-type: application/msgpack\r\ncontent-length: "
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def exchange(self, request: bytes) -> bytes:
        """Send a request and return the reply's body."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(f"{self._head}{len(request)}\r\n\r\n".encode() + request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        if not head.startswith(b"http/1.1 200"):
            raise RuntimeError(body.decode())
        return body

    def close(self) -> None:
        """Close it."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class _Holder:
    """A holder of leases that remembers nothing."""

    def __init__(self, plane: ControlPlane, identity: str) -> None:
        self._connection = LedgerConnection(plane)
        self._identity = identity
        self._epoch = 0
        self._sequence = 0

    async def greet(self) -> None:
        """Begin an epoch."""
        self._epoch += 1
        self._sequence = 0
        await self.send((Hello(0, 0),))

    async def send(self, operations: tuple[Operation, ...], report: Report | None = None) -> Reply:
        """Send one request."""
        self._sequence += 1
        request = Request(self._identity, self._epoch, b"bench", self._sequence, operations, report)
        reply = decode_reply(await self._connection.exchange(encode(request)))
        if reply.fault is not None:
            raise RuntimeError(reply.fault)
        return reply

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Leases:
    """Leases units of customers in turn, and reports and settles them with the next request."""

    def __init__(self, plane: ControlPlane, identity: str, customers: Sequence[str], together: int) -> None:
        self._holder = _Holder(plane, identity)
        self._accounts = [Account("calls", Scope.CUSTOMER, name, "", BEGINNING) for name in customers]
        self._together = together
        self._number = 0

    async def run(self, until: float) -> int:
        """Return the number of leases."""
        await self._holder.greet()
        done = turn = 0
        settled: tuple[Operation, ...] = ()
        report = None
        while time.monotonic() < until:
            now = time.time_ns() // 1_000_000
            accounts = [self._accounts[(turn + n) % len(self._accounts)] for n in range(self._together)]
            turn += self._together
            wanted = tuple(Acquire(now, (Need(account, 1, 8),)) for account in accounts)
            reply = await self._holder.send((*settled, *wanted), report)
            leases = [lease for result in reply.results if isinstance(result, Granted) for lease in result.leases]
            done += len(leases)
            settled = tuple(Settle(lease.number, 5) for lease in leases)
            uses = tuple(HourlyUse(now - now % _HOUR, Spend(lease.account, 5, lease.number)) for lease in leases)
            report = Report(self._number + 1, self._number + 5 * len(leases), uses)
            self._number = report.last
        await self._holder.send(settled, report)
        self._holder.close()
        return done


class DirectDebits:
    """Asks the ledger for each unit."""

    def __init__(self, plane: ControlPlane, identity: str, customer_id: str) -> None:
        self._holder = _Holder(plane, identity)
        self._account = Account("calls", Scope.CUSTOMER, customer_id, "", BEGINNING)

    async def run(self, until: float) -> int:
        """Return the number of units."""
        await self._holder.greet()
        done = 0
        while time.monotonic() < until:
            consumption = Consumption(b"", b"", time.time_ns() // 1_000_000, (Debit(self._account, 1),))
            await self._holder.send((DirectDebit(consumption),))
            done += 1
        self._holder.close()
        return done


class _PlaneWire(Wire):
    """The way to a real control plane."""

    def __init__(self, plane: ControlPlane) -> None:
        super().__init__(MemoryLedger())
        self._connection = LedgerConnection(plane)

    async def exchange_usage(self, request: bytes) -> bytes:
        try:
            return await self._connection.exchange(request)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise SyncError("bench", str(error)) from error

    async def close(self) -> None:
        self._connection.close()


@asynccontextmanager
async def hot_sidecars(
    plane: ControlPlane, folder: Path, count: int, catalog: str
) -> AsyncIterator[Callable[[float], Awaitable[int]]]:
    """Run many sidecars; give what consumes one customer's units at each of them, as fast as it can, for seconds.

    It returns how many were answered, which by then are reported.
    """
    async with AsyncExitStack() as stack:
        cars = []
        for place in range(count):
            car = LeasingSidecar(
                folder / str(place), _PlaneWire(plane), catalog, subjects=[customer("c0")], recheck_one_in=1_000
            )
            cars.append(await stack.enter_async_context(car.running()))

        async def consume(car: LeasingSidecar, until: float) -> int:
            async def caller() -> int:
                done = 0
                while time.monotonic() < until:
                    done += (await car.consume(subject="c0"))["consumed"]
                return done

            return sum(await asyncio.gather(*(caller() for _ in range(_CALLERS))))

        async def work(seconds: float) -> int:
            until = time.monotonic() + seconds
            sold = sum(await asyncio.gather(*(consume(car, until) for car in cars)))
            for car in cars:
                await car.reported()
            return sold

        yield work
