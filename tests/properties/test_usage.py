"""Usage over HTTP agrees with a tiny model: counters, limits, keys, and windows of a month."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.serving import NOW, Service, customer, get, post
from tests.wire import Connection

LIMITS = {"calls": 10, "exports": 4, "credits": 25}
OVERAGE = {"calls": 0, "exports": 3, "credits": 0}
CATALOG = """\
apiVersion: tiergate/v1
features:
  - {id: calls, type: quantity, metered: {reset: month}}
  - {id: exports, type: quantity, metered: {reset: day, limit: soft, overage_max: 3}}
  - {id: credits, type: quantity, metered: {reset: never}}
  - {id: images, type: quantity, metered: {reset: month}, draws: {from: credits, cost: 2}}
items:
  - {id: gold, kind: plan, entitlements: {calls: 10, exports: 4, credits: 25, images: unlimited}}
"""
FEATURES = ("calls", "credits", "exports", "images")
CUSTOMERS = ("acme", "beta")
DAY = 24 * 3600 * 1000


class Model:
    """What was used, by customer, feature and window; whole days and months are told by their text."""

    def __init__(self) -> None:
        self.used: dict[tuple[str, str, str], int] = {}
        self.keys: dict[str, tuple[Any, dict[str, Any]]] = {}

    def at(self, customer: str, feature: str, now: int) -> tuple[str, str, str]:
        """Return where usage of this instant is counted."""
        moment = datetime.fromtimestamp(now / 1000, UTC)
        window = {"exports": f"{moment:%Y-%m-%d}", "credits": ""}.get(feature, f"{moment:%Y-%m}")
        return customer, feature, window

    def read(self, customer: str, feature: str, now: int) -> int:
        """Return what is used."""
        return self.used.get(self.at(customer, feature, now), 0)

    def fits(self, customer: str, feature: str, amount: int, now: int) -> bool:
        """Return whether an amount is within the limit, and its credits are."""
        if feature == "images":
            return self.fits(customer, "credits", 2 * amount, now)
        return self.read(customer, feature, now) + amount <= LIMITS[feature] + OVERAGE[feature]

    def add(self, customer: str, feature: str, amount: int, now: int) -> None:
        """Count an amount."""
        place = self.at(customer, feature, now)
        self.used[place] = self.used.get(place, 0) + amount
        if feature == "images":
            self.add(customer, "credits", 2 * amount, now)


class UsageMachine(RuleBasedStateMachine):
    """Requests in any order, restarts of the sidecar, and time that goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.model = Model()
        self.now = NOW
        self.reservations: list[tuple[str, str, str, int, int]] = []

    @initialize()
    def start(self) -> None:
        """Start the sidecar."""
        self.service = Service(*map(customer, CUSTOMERS), catalog=CATALOG, usage=Path(self.folder.name))
        self.service.clock.now = self.now
        self.serving = self.service.serve()
        self.connection = Connection(self.serving.__enter__().connect())

    def stop(self) -> None:
        """Stop it."""
        self.connection.sock.close()
        self.serving.__exit__(None, None, None)

    def teardown(self) -> None:
        """Stop, and remove the folder."""
        if hasattr(self, "service"):
            self.stop()
        self.folder.cleanup()

    def ask(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return the status and the answer of a request."""
        answer = self.connection.ask(post(path, body))
        return answer.status, answer.json()

    @rule(
        who=st.sampled_from(CUSTOMERS),
        feature=st.sampled_from(FEATURES),
        amount=st.integers(1, 8),
        key=st.none() | st.sampled_from("abc"),
    )
    def consume(self, who: str, feature: str, amount: int, key: str | None) -> None:
        """Consume, perhaps with a key that was used."""
        body = {"subject": who, "feature": feature, "amount": amount}
        status, found = self.ask("/v1/consume", body if key is None else body | {"key": key})
        if key in self.model.keys:
            content, first = self.model.keys[key]
            if content != (who, feature, amount):
                assert status == 409
            else:
                assert found == first | {"replayed": True}
            return
        fits = self.model.fits(who, feature, amount, self.now)
        assert (status, found["allowed"], found["consumed"]) == (200, fits, amount if fits else 0)
        if fits:
            self.model.add(who, feature, amount, self.now)
            assert found["entitlement"]["used"] == self.model.read(who, feature, self.now)
            if key is not None:
                self.model.keys[key] = (who, feature, amount), found

    @rule(who=st.sampled_from(CUSTOMERS), feature=st.sampled_from(["calls", "images"]), amount=st.integers(1, 6))
    def reserve(self, who: str, feature: str, amount: int) -> None:
        """Set units aside."""
        body = {"subject": who, "feature": feature, "amount": amount, "expires_in": 86_400}
        _, found = self.ask("/v1/reserve", body)
        assert found["allowed"] == self.model.fits(who, feature, amount, self.now)
        if found["allowed"]:
            self.model.add(who, feature, amount, self.now)
            self.reservations.append((found["reservation"], who, feature, amount, self.now))

    @rule(part=st.integers(0, 6), release=st.booleans())
    def end(self, part: int, release: bool) -> None:
        """End a reservation."""
        if not self.reservations:
            return
        id_, who, feature, amount, made = self.reservations.pop()
        consumed = 0 if release else min(part, amount)
        path = f"/v1/reservations/{id_}/{'release' if release else 'commit'}"
        status, _ = self.ask(path, {} if release else {"amount": consumed})
        assert status == 200
        self.model.add(who, feature, consumed - amount, made)

    @rule(who=st.sampled_from(CUSTOMERS), amount=st.integers(1, 20), hours=st.integers(0, 48))
    def report(self, who: str, amount: int, hours: int) -> None:
        """Count after the fact, up to two days ago: always accepted."""
        at = self.now - hours * 3600 * 1000
        text = datetime.fromtimestamp(at / 1000, UTC).isoformat()
        status, _ = self.ask("/v1/usage", {"subject": who, "feature": "exports", "amount": amount, "at": text})
        assert status == 200
        self.model.add(who, "exports", amount, at)

    @rule(hours=st.sampled_from([1, 13, 24, 240]))
    def wait(self, hours: int) -> None:
        """Let time go on; keys are forgotten after a day, and reservations expire."""
        if self.now // DAY != (self.now + hours * 3600 * 1000) // DAY or hours >= 24:
            self.model.keys.clear()
            self.now += DAY  # all keys are older than a day
        self.now += hours * 3600 * 1000
        self.service.clock.now = self.now
        self.tick()
        expired = [it for it in self.reservations if self.now >= it[4] + DAY]
        self.reservations = [it for it in self.reservations if it not in expired]
        for id_, who, feature, amount, made in expired:
            self.model.add(who, feature, -amount, made)
            assert self.ask(f"/v1/reservations/{id_}/commit", {})[0] == 409

    @rule()
    def restart(self) -> None:
        """Read everything again from disk."""
        self.stop()
        self.start()

    def tick(self) -> None:
        """Let the meter end what has expired."""
        assert self.service.meter is not None
        assert self.service.loop is not None
        asyncio.run_coroutine_threadsafe(self.service.meter.tick(self.now), self.service.loop).result(10)

    @invariant()
    def usage_is_as_modelled(self) -> None:
        """In every list of usage."""
        if not hasattr(self, "service"):
            return
        for who in CUSTOMERS:
            listed = self.connection.ask(get(f"/v1/usage?subject={who}")).json()["usage"]
            assert {one["feature"]: one["used"] for one in listed} == {
                feature: self.model.read(who, feature, self.now)
                for feature in ("calls", "credits", "exports", "images")
            }


UsageMachine.TestCase.settings = settings(max_examples=6, stateful_step_count=20, deadline=None)
test_usage_over_http_agrees_with_the_model = UsageMachine.TestCase
