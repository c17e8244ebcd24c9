"""What is answered while a store comes back into earshot."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from tests.signing import NOW
from tiergate.sidecar import time_slicing
from tiergate.sidecar.api.app import NativeApi
from tiergate.sidecar.check_service import CheckService
from tiergate.sidecar.metrics import Metrics
from tiergate.sidecar.request_context import NO_CONTEXT
from tiergate.wire.check_reader import read_check

if TYPE_CHECKING:
    from tests.following import Follow, Sidecar
    from tests.sync_simulator import Simulator

LATER = NOW + 3_600_000
"""An hour after everything that the store has signed so far."""


async def heard_in_between(sidecar: Sidecar, simulator: Simulator) -> None:
    """Have the store heard again, and wait until the sidecar has."""
    simulator.feed.now = LATER
    simulator.put("dent")
    await sidecar.until(lambda: not sidecar.state.stale)


@pytest.mark.parametrize("stale_deny", [(), ("*",)])
def test_a_batch_is_stale_as_a_whole_or_not_at_all(
    follow: Follow, simulator: Simulator, stale_deny: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the store is heard again between its first check and its last, and others asked the same meanwhile."""
    monkeypatch.setattr(time_slicing, "_SLICE_NS", 0)
    now = NOW
    follow.clock = lambda: now
    checks = [{"subject": "acme", "feature": "movies", "used": 60 + used} for used in range(1_000)]

    async def scenario() -> None:
        nonlocal now
        heard = asyncio.Event()
        # The pause between two slices lasts until the store is heard.
        monkeypatch.setattr(time_slicing, "asyncio", SimpleNamespace(sleep=lambda _: heard.wait()))
        async with follow() as sidecar:
            await sidecar.at(4)
            native = NativeApi(CheckService(sidecar.state, Metrics(), stale_deny=stale_deny))
            now = LATER
            assert sidecar.state.stale
            batch = asyncio.create_task(native.batches.respond(json.dumps({"checks": checks}).encode(), NO_CONTEXT))
            await heard_in_between(sidecar, simulator)
            assert not batch.done()
            heard.set()
            for check in reversed(checks[-50:]):
                native.checks.respond_now(json.dumps(check).encode(), NO_CONTEXT)
            found = json.loads((await batch).body)["results"]
            assert {(one["stale"], one["reason"]) for one in found} == {(False, "limit_reached")}

    asyncio.run(scenario())


def test_nothing_made_while_stale_is_remembered_once_fresh(follow: Follow, simulator: Simulator) -> None:
    """A list that was begun before the store was heard again, and what is asked after it."""
    now = NOW
    follow.clock = lambda: now

    async def scenario() -> None:
        nonlocal now
        async with follow() as sidecar:
            await sidecar.at(4)
            service = CheckService(sidecar.state, Metrics(), stale_deny=("*",))
            native = NativeApi(service)
            now = LATER
            view = service.view()
            body = b'{"subject":"acme","feature":"movies"}'
            await heard_in_between(sidecar, simulator)
            assert b'"stale":true' in native.decisions.decide(view, read_check(body), body, now).body
            assert b'"stale":false' in (await native.checks.respond(body, NO_CONTEXT)).body
            listed = json.loads((await native.entitlements.respond(b"subject=acme")).body)
            assert listed["stale"] is False

    asyncio.run(scenario())
