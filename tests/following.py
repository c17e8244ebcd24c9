"""A sidecar's sync in this process, against the simulator on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from tests.serving import CATALOG, bundle
from tests.signing import NOW, key
from tests.sync_simulator import KEY
from tiergate.model import Check, Decision, Subject, SubjectType
from tiergate.sidecar.replica.data_directory import DataDirectory
from tiergate.sidecar.replica.sync.bundle_origins import BundleOrigins
from tiergate.sidecar.replica.sync.control_plane_client import ControlPlaneClient
from tiergate.sidecar.replica.sync.feed_follower import FeedFollower, FollowOptions, OnDemandOptions
from tiergate.sidecar.replica.sync.sync_report import SyncReport
from tiergate.sidecar.replica.sync.trust_config import TrustConfig
from tiergate.sidecar.state import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.sync_simulator import Simulator
    from tiergate.bundle import SigningKey
    from tiergate.model import Instant
    from tiergate.sidecar.replica.sync.control_plane_client import BundleOrigin


def files(catalog: str = CATALOG) -> dict[str, bytes]:
    """A compiled bundle."""
    found = bundle(catalog)
    return {path: found.content(path) for path in found.paths()}


BETTER = CATALOG.replace("movies: 50,", "movies: 20,")
"""Another catalog: gold has fewer movies."""


class Watched(SyncReport):
    """A report that can be waited for."""

    def __init__(self) -> None:
        super().__init__("http://control-plane", max_staleness=60)
        self.changed = asyncio.Event()

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "status" and hasattr(self, "changed"):
            self.changed.set()


class Sidecar:
    """What is followed, and what it answers."""

    def __init__(self, sync: FeedFollower, state: State, report: Watched) -> None:
        self.sync = sync
        self.state = state
        self.report = report
        self.now: Instant = NOW

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until the work has come to something."""
        async with asyncio.timeout(10):
            while not holds():
                self.report.changed.clear()
                await self.report.changed.wait()

    async def at(self, position: int) -> None:
        """Wait until the feed is in force up to a position."""
        await self.until(lambda: int(self.report.status.position or 0) >= position)

    async def failed(self, words: str) -> None:
        """Wait until it says that it failed, with these words."""
        await self.until(lambda: words in (self.report.status.error or ""))

    def decide(self, customer: str, feature: str = "movies", type_: SubjectType = SubjectType.CUSTOMER) -> Decision:
        """Decide by what is in force."""
        assert self.state.current is not None
        return self.state.current.engine.decide(Check(Subject(customer, type_), feature), self.now)

    def limit(self, customer: str) -> object:
        """How many movies a customer has."""
        return self.decide(customer).entitlement.value

    @property
    def publication(self) -> int:
        """The publication in force."""
        return 0 if self.state.current is None else self.state.current.publication


class Follow:
    """Begins sidecars on one data directory."""

    def __init__(self, simulator: Simulator, folder: Path) -> None:
        self.simulator = simulator
        self.folder = folder
        self.key_file = folder / "key"
        self.key_file.write_text(KEY)
        self.keys: tuple[SigningKey, ...] = (key(),)
        self.store: str | None = None
        self.objects: BundleOrigin | None = None
        self.on_demand: OnDemandOptions | None = None
        self.clock: Callable[[], Instant] = lambda: NOW

    @contextlib.asynccontextmanager
    async def __call__(self, url: str | None = None) -> AsyncIterator[Sidecar]:
        """Follow until the end of the block."""
        url = url or self.simulator.url
        control = ControlPlaneClient(url, self.key_file)
        state, report = State(self.clock), Watched()
        believed = TrustConfig(url, self.store, tuple(one.verify_key for one in self.keys))
        rules = FollowOptions(60.0, on_demand=self.on_demand, random=lambda: 0.1)
        directory = DataDirectory(self.folder)
        sync = FeedFollower(believed, control, BundleOrigins(control, self.objects), directory, state, rules, report)
        state.report = sync.report
        running = asyncio.create_task(sync.run())
        try:
            yield Sidecar(sync, state, report)
        finally:
            running.cancel()
            await asyncio.wait([running])
            if not running.cancelled() and running.exception() is not None:
                await running
