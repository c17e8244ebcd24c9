"""Usage in real sidecars that lease from a real control plane: shared limits, kills of either, and nobody to ask."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.control_planes import ControlPlane, control_plane
from tests.serving import get, post
from tests.system.processes import Process, sidecar
from tiergate.model import BEGINNING
from tiergate.usage.accounts import Account, Scope
from tiergate.usage.protocol import Hello, Read, Request, decode_reply, encode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.control_planes import Credentials
    from tiergate.usage.protocol import Operation

CATALOG = """\
apiVersion: tiergate/v1
features:
  - {id: calls, type: quantity, metered: {reset: never}}
  - {id: mails, type: quantity, metered: {reset: never, limit: soft}}
  - {id: credits, type: quantity, metered: {reset: never}}
  - {id: images, type: quantity, metered: {reset: never}, draws: {from: credits, cost: 2}}
items:
  - {id: pro, kind: plan, entitlements: {calls: 100, mails: 10, credits: 20, images: unlimited}}
"""
LIMIT = 100


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane with a customer `acme`."""
    with control_plane(tmp_path) as plane:
        client = plane.client()
        client.post("/v1/apply", json={"catalog": [{"name": "catalog.yaml", "text": CATALOG}]}).raise_for_status()
        client.post("/v1/customers", json={"id": "acme"}).raise_for_status()
        body = {"id": "s", "customer": "acme", "status": "active", "items": [{"item": "pro"}]}
        client.post("/v1/subscriptions", json=body).raise_for_status()
        yield plane


def arguments(plane: ControlPlane, name: str, credentials: Credentials | None = None) -> list[str | Path]:
    """The arguments of a sidecar that counts."""
    known = plane.credentials if credentials is None else credentials
    return [
        *("--control-plane", plane.url, "--key-file", plane.key_file("sidecar")),
        *("--public-key", plane.public_key_file, "--data", known.folder / name),
    ]


def consume(process: Process, feature: str = "calls", **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Consume one unit, or so many; return the answer."""
    answer = process.ask(post("/v1/consume", {"subject": "acme", "feature": feature, **more}))
    found: dict[str, Any] = answer.json()
    assert answer.status == 200, found
    return found


def booked(plane: ControlPlane, feature: str = "calls") -> int:
    """What the ledger has booked."""
    client, holder = plane.client("sidecar"), uuid4().hex
    account = Account(feature, Scope.CUSTOMER, "acme", "", BEGINNING)
    operations: tuple[Operation, ...] = (Hello(0, 0), Read((account,)))
    for sequence, operation in enumerate(operations, 1):
        request = Request(holder, 1, b"test", sequence, (operation,))
        headers = {"content-type": "application/msgpack"}
        answer = client.post("/v1/sync/usage", content=encode(request), headers=headers)
        answer.raise_for_status()
    (figures,) = decode_reply(answer.content).figures
    return figures.booked


def is_settled(status: Any) -> bool:  # noqa: ANN401 - JSON
    """Whether a sidecar has reported everything and given its leases back."""
    leasing = status["usage"]["leasing"]
    return bool(leasing["unreported"] == leasing["leases"] == 0)


def test_two_sidecars_share_a_limit_to_the_last_unit(plane: ControlPlane) -> None:
    """Whoever asks first gets it; both see what the other used; a denial says why."""
    with sidecar(*arguments(plane, "one")) as one, sidecar(*arguments(plane, "two")) as two:
        counted = 0
        for process in (one, two):
            process.event("ready")
        for _ in range(40):
            for process in (one, two):
                counted += consume(process)["consumed"]
        assert counted == 80
        while consume(one, amount=3)["allowed"]:
            counted += 3
        while consume(two)["allowed"]:
            counted += 1
        assert counted == LIMIT
        denied = consume(one)
        assert (denied["allowed"], denied["reason"], denied["consumed"]) == (False, "limit_reached", 0)
        for process in (one, two):
            process.until(is_settled)
        assert booked(plane) == LIMIT
        checked = one.ask(post("/v1/check", {"subject": "acme", "feature": "calls"})).json()
        assert (checked["reason"], checked["entitlement"]["used"]) == ("limit_reached", LIMIT)
        identity = plane.credentials.folder / "one" / "usage-leases" / "identity"
        assert stat.S_IMODE(identity.stat().st_mode) == 0o600


@pytest.mark.slow
def test_kills_lose_nothing_and_never_exceed_the_limit(plane: ControlPlane) -> None:
    """Of sidecars and of the control plane, in between; keys that were acknowledged get their answers again."""
    keys: list[str] = []
    others = 0
    control = plane
    for round_ in range(4):
        with sidecar(*arguments(control, "one")) as one, sidecar(*arguments(control, "two")) as two:
            for process in (one, two):
                process.event("ready")
            for _ in range(12):
                key = uuid4().hex
                if consume(one, key=key)["allowed"]:
                    keys.append(key)
                others += consume(two)["consumed"]
            if keys:
                assert consume(one, key=keys[0])["replayed"]
            one.process.kill()
            one.wait()
            if round_ == 1:
                control.kill()
                control = control.restarted()
                control.process.event("ready")
    with sidecar(*arguments(control, "one")) as one, sidecar(*arguments(control, "two")) as two:
        for process in (one, two):
            process.event("ready")
            process.until(is_settled)
        assert consume(one, key=keys[-1])["replayed"]
        assert booked(control) == len(keys) + others
        while consume(two)["allowed"]:
            others += 1
        two.until(is_settled)
        assert booked(control) == len(keys) + others == LIMIT
    control.__exit__()


def test_offline_leases_are_spent_and_then_features_decide(plane: ControlPlane) -> None:
    """A hard limit denies, a soft one allows, and what was allowed is reported by the next start."""
    with sidecar(*arguments(plane, "one")) as one:
        one.event("ready")
        assert consume(one)["allowed"]
        one.until(is_settled)
        plane.kill()
        denied = consume(one)
        assert (denied["allowed"], denied["reason"]) == (False, "limit_reached")
        for _ in range(12):
            assert consume(one, "mails")["allowed"]
        assert consume(one, "mails")["entitlement"]["overage"] == 3
        recorded = one.ask(post("/v1/usage", {"subject": "acme", "feature": "calls", "amount": 5}))
        assert recorded.status == 200
        one.process.kill()
        one.wait()
    with plane.restarted() as control:
        control.process.event("ready")
        with sidecar(*arguments(control, "one")) as one:
            one.event("ready")
            one.until(is_settled)
            assert (booked(control, "mails"), booked(control)) == (13, 6)
            assert consume(one)["entitlement"]["used"] == 7


def test_reservations_credits_and_the_end(plane: ControlPlane) -> None:
    """Units of leases are set aside; a source is drawn together; at the end everything is reported."""
    with sidecar(*arguments(plane, "one")) as one:
        one.event("ready")
        body = {"subject": "acme", "feature": "images", "amount": 4}
        made = one.ask(post("/v1/reserve", body)).json()
        assert made["reserved"] == 4
        assert consume(one, "images", amount=7)["reason"] == "limit_reached"
        ended = one.ask(post(f"/v1/reservations/{made['reservation']}/commit", {"amount": 1})).json()
        assert (ended["consumed"], ended["released"]) == (1, 3)
        again = one.ask(post(f"/v1/reservations/{made['reservation']}/commit", {"amount": 1})).json()
        assert again["replayed"]
        assert consume(one, "images", amount=9)["allowed"]
        listed = one.ask(get("/v1/usage?subject=acme&feature=images")).json()["usage"]
        assert listed[0]["used"] == 10
        assert one.end() == 0
    assert (booked(plane, "images"), booked(plane, "credits")) == (10, 20)
    with sidecar(*arguments(plane, "two")) as two:
        two.event("ready")
        assert consume(two, "images")["reason"] == "limit_reached"
