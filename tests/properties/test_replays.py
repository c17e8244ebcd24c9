"""Decisions of a random history are made again, byte by byte, from their lines in the log and what the store kept.

Real processes: a control plane whose customers, catalog and rules change at random, among them what begins and ends
while it lasts, and two sidecars that follow it, one with all subjects and one on demand. Both are asked all the while,
so that decisions fall before, between and after the changes; the control plane stands still for a while, so that data
becomes stale; the sidecars begin anew. Every line of both logs is replayed when all is over.
"""

from __future__ import annotations

import json
import random
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from tests.control_planes import control_plane
from tests.losses import accepting
from tests.serving import post
from tests.system.processes import sidecar
from tiergate.engine.decision_inputs import DecisionBasis, basis_json
from tiergate.impact.replay.decision_log_reader import read_log
from tiergate.model import format_instant

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from tests.control_planes import ControlPlane
    from tests.system.processes import Process
    from tiergate.impact.replay.decision_log_reader import RecordedDecision

CUSTOMERS: Final = [f"c{number}" for number in range(6)]
ITEMS: Final = ("free", "gold", "extra")
STEPS: Final = 30
SOON: Final = 400
RULES: Final = {
    "tags": 'forbid (principal, action, resource == Feature::"movies") when { principal.tags.contains("eu") };',
    "weekday": 'forbid (principal, action == Action::"use", resource) when { context.weekday <= 3 };',
    "attributes": (
        'permit (principal, action == Action::"choose", resource) '
        'when { principal.hasTag("region") && principal.getTag("region") == "us" };'
    ),
}


class History:
    """What happens on a control plane."""

    def __init__(self, client: httpx.Client, seed: int) -> None:
        self.draw = random.Random(seed)
        self._client = client
        self._done = 0
        for number, customer in enumerate(CUSTOMERS):
            self._put_customer(customer)
            if number % 3:
                self._put_subscription(customer)

    def step(self) -> None:
        """Let something happen, most often to a subject."""
        draw = self.draw
        customer = draw.choice(CUSTOMERS)
        happening = draw.choices(
            [self._put_customer, self._put_subscription, self._override, self._suspend, self._delete],
            [2, 5, 5, 2, 1],
        )[0]
        if draw.random() < 0.2:
            self.publish()
        else:
            happening(customer)

    def publish(self) -> None:
        """Put another catalog in force, and other rules."""
        draw = self.draw
        suspension = {"from": self._moment(), "until": self._moment(later=SOON), "reason": "r"}
        features = [
            {"id": "analytics", "type": "switch", "suspensions": [suspension] if draw.random() < 0.4 else []},
            {"id": "movies", "type": "quantity", "unit": "movies/month"},
            {"id": "storage", "type": "quantity", "scale": 3, "batch": {"increment": 0.5}, "caps": {"per_user": 2}},
            {"id": "api", "type": "range", "min": 10, "max": 1000, "combine": "max"},
            {"id": "support", "type": "custom", "levels": ["email", "chat", "phone"]},
        ]
        self._done += 1
        items: list[dict[str, object]] = []
        for id_ in ITEMS:
            given: dict[str, object] = {"movies": {"add": draw.randint(1, 9)}, "storage": draw.randint(1, 9999) / 1000}
            if id_ != "extra":
                given = {"api": draw.randint(10, 900), "analytics": True, "support": draw.choice(["email", "chat"])}
                given["movies"] = draw.choice([5, 10, 15, "unlimited"])
            items.append({"id": id_, "kind": "plan" if id_ != "extra" else "addon", "version": self._done})
            items[-1]["entitlements"] = given
            items[-1]["rollouts"] = [{"version": self._done, "from": self._moment()}] if draw.random() < 0.3 else []
            if not items[-1]["rollouts"]:
                del items[-1]["rollouts"]
        chosen = {f"{name}.cedar": f'@id("r")\n{text}' for name, text in RULES.items() if draw.random() < 0.5}
        catalog = {"apiVersion": "tiergate/v1", "features": features, "items": items}
        rules = {"policies": {name.removesuffix(".cedar"): text for name, text in chosen.items()}}
        body = {"catalog": catalog, "rules": rules, "prune": True}
        answer = accepting(self._client, "/v1/apply", body)
        assert answer.is_success, answer.text

    def checks(self) -> list[dict[str, object]]:
        """Questions about anybody, and about who is not there."""
        draw = self.draw
        found = []
        for _ in range(6):
            id_ = draw.choice([*CUSTOMERS, "nobody"])
            subject: object = id_
            if draw.random() < 0.4:
                subject = {"type": "subscription", "id": f"s-{id_}"}
            elif draw.random() < 0.2:
                subject = {"id": id_, "user": "eve"}
            asked: dict[str, object] = draw.choice(
                [
                    {"feature": "analytics"},
                    {"feature": "movies", "used": draw.choice([0, 4, 9, 40])},
                    {"feature": "movies", "used": 3.0, "amount": 2},
                    {"feature": "storage", "amount": draw.choice([0.5, 1, 0.7]), "used": 0.125, "user_used": 1.5},
                    {"feature": "api", "value": draw.randint(10, 900)},
                    {"feature": "support", "level": draw.choice(["email", "chat", "phone"])},
                ]
            )
            found.append({"subject": subject, **asked})
        return found

    # ── to subjects ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _put_customer(self, customer: str) -> None:
        tags = self.draw.sample(["eu", "pilot"], self.draw.randint(0, 2))
        attributes = {"region": self.draw.choice(["eu", "us"])} if self.draw.random() < 0.5 else {}
        self._ask("PUT", f"/v1/customers/{customer}", {"id": customer, "tags": tags, "attributes": attributes})

    def _put_subscription(self, customer: str) -> None:
        draw = self.draw
        status = draw.choice(["active", "active", "trialing", "paused", "canceled"])
        body: dict[str, object] = {"id": f"s-{customer}", "customer": customer, "status": status}
        if status == "trialing":
            body["trial_end"] = self._moment(later=SOON)
        if status == "canceled":
            body["end"] = self._moment(later=SOON)
        held = [{"item": draw.choice(ITEMS[:2])}, {"item": "extra", "quantity": draw.randint(1, 3)}]
        body["items"] = held[: draw.randint(1, 2)]
        self._ask("PUT", f"/v1/subscriptions/s-{customer}", body)

    def _override(self, customer: str) -> None:
        value: dict[str, object] = self.draw.choice(
            [{"feature": "movies", "value": self.draw.randint(0, 20)}, {"feature": "analytics", "mode": "disabled"}]
        )
        holder = self.draw.choice([f"customers/{customer}", f"subscriptions/s-{customer}"])
        body = {**value, "reason": "r", "from": self._moment(), "until": self._moment(later=SOON)}
        self._ask("POST", f"/v1/{holder}/overrides", body)

    def _suspend(self, customer: str) -> None:
        body = {"feature": "movies", "until": self._moment(later=SOON), "reason": "r"}
        self._ask("POST", f"/v1/customers/{customer}/suspensions", body)

    def _delete(self, customer: str) -> None:
        self._ask("DELETE", f"/v1/subscriptions/s-{customer}")
        if self.draw.random() < 0.5:
            self._ask("DELETE", f"/v1/customers/{customer}")

    def _moment(self, *, later: int = 0) -> str:
        """An instant about now."""
        return format_instant(time.time_ns() // 1_000_000 + later + self.draw.randint(-SOON // 2, SOON // 2))

    def _ask(self, method: str, path: str, body: object = None) -> None:
        """Ask for it; what the store does not take, such as an order for who is gone, does not happen."""
        answer = self._client.request(method, path, json=body)
        assert answer.status_code in {200, 201, 204, 404, 409, 422}, answer.text


class Asked:
    """A sidecar that is asked, and logs."""

    def __init__(self, plane: ControlPlane, folder: Path, name: str, *arguments: str) -> None:
        self.log = folder / f"{name}.ndjson"
        self._arguments: tuple[str | Path, ...] = (
            *("--control-plane", plane.url, "--key-file", plane.key_file("sidecar")),
            *("--public-key", plane.public_key_file, "--data", folder / name),
            *("--decision-log", self.log, "--max-staleness", "3", "--stale-deny", "movies"),
            *arguments,
        )
        self.process: Process

    @contextmanager
    def begun(self) -> Iterator[Process]:
        """Run it."""
        with sidecar(*self._arguments) as self.process:
            yield self.process
            assert self.process.end() == 0

    def ask(self, checks: list[dict[str, object]]) -> None:
        """Ask checks, one by one and again, then together."""
        with self.process.connect() as connection:
            for check in (*checks, checks[0], checks[0]):
                connection.ask(post("/v1/check", check))
            connection.ask(post("/v1/checks", {"checks": checks}))

    def lines(self) -> list[RecordedDecision]:
        """What it has logged."""
        with self.log.open("rb") as lines:
            return list(read_log(lines, self.log.name, lambda problem: pytest.fail(str(problem))))


def again(client: httpx.Client, one: RecordedDecision, basis: DecisionBasis) -> bytes:
    """The decision of a line, made again by the control plane."""
    body = b'{"check":%b,"at":"%b","publication":%d,"revision":"%b","basis":%b}' % (
        one.request,
        format_instant(one.at).encode(),
        one.verdict.publication,
        one.verdict.revision.encode(),
        basis_json(basis),
    )
    answer = client.post("/v1/replay", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 200, (answer.text, one)
    assert answer.json()["sentences"]
    assert answer.content.startswith(b'{"decision":')
    return answer.content.removeprefix(b'{"decision":')[: len(one.decision)]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_every_decision_of_a_history_is_made_again(tmp_path: Path, seed: int) -> None:
    """By whichever sidecar, by a record that was logged or by the store's own, at once or much later."""
    with control_plane(tmp_path) as plane:
        client = plane.client("admin")
        history = History(client, seed)
        history.publish()
        everybody = Asked(plane, tmp_path, "everybody")
        on_demand = Asked(plane, tmp_path, "on-demand", "--on-demand", "--on-demand-keep", "3", "--decision-log-record")
        for part in range(2):  # the second time they begin with what is on disk
            with everybody.begun(), on_demand.begun():
                for _ in range(STEPS // 2):
                    history.step()
                    for asked in (everybody, on_demand):
                        asked.ask(history.checks())
                if part:
                    plane.process.process.send_signal(signal.SIGSTOP)
                    try:
                        for asked in (everybody, on_demand):
                            asked.process.until(lambda status: status["stale"])
                            asked.ask(history.checks())
                    finally:
                        plane.process.process.send_signal(signal.SIGCONT)

        lines, recorded = everybody.lines(), on_demand.lines()
        for one in lines:
            assert one.basis is not None
            assert one.basis.record is UNSET
            assert again(client, one, one.basis) == one.decision, one
        for one in recorded:
            assert one.basis is not None
            assert one.basis.record is not UNSET
            assert again(client, one, one.basis) == one.decision, one
            assert again(client, one, replace(one.basis, record=UNSET)) == one.decision, one

    found = [json.loads(one.decision) for one in (*lines, *recorded)]
    reasons = {it["reason"] for it in found}
    assert len(lines) == len(recorded) == (STEPS + 1) * 14
    assert reasons >= {"granted", "unknown_subject", "stale_data"}
    assert len(reasons) >= 6, reasons
    assert len({it["publication"] for it in found}) >= 3
    assert len({one.basis.position for one in lines if one.basis is not None}) >= STEPS // 3
    assert any("valid_until" in it for it in found)
