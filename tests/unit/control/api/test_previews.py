"""What publishing takes from customers: refused, accepted, previewed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.admin import serving
from tests.publishing import Press, opened
from tiergate.control.api import apply_export, immediate_changes, items, publishing
from tiergate.model import SubscriptionItem
from tiergate.publish import loss_estimate

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.admin import Admin


def timeless(said: object) -> object:
    """The same without the instants from which effects hold: the moment of asking."""
    if isinstance(said, dict):
        return {key: timeless(value) for key, value in said.items() if key != "since"}
    return [timeless(one) for one in said] if isinstance(said, list) else said


def file(free: int) -> dict[str, object]:
    """A body that applies what the plan `free` gives."""
    features = "features:\n  - {id: movies, type: quantity}\n"
    items = f"items:\n  - {{id: free, kind: plan, entitlements: {{movies: {free}}}}}\n"
    return {"catalog": [{"name": "c.yaml", "text": f"apiVersion: tiergate/v1\n{features}{items}"}]}


class Api:
    """A publisher's API on a store where `acme` holds `gold` (50 movies, analytics), and `beta` holds `free`."""

    def __init__(self, press: Press, admin: Admin) -> None:
        self.press = press
        self._admin = admin

    def ask(self, method: str, path: str, body: object = None, role: str = "admin", **headers: str) -> httpx.Response:
        """Ask in a role; a body is written as JSON."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()} | {"content-type": "application/json"}
        content = b"" if body is None else msgspec.json.encode(body)
        return self._admin.as_(role).request(method, path, content=content, headers=sent if content else None)

    def draft(self, movies: int, item: str = "gold", **more: object) -> None:
        """Draft what an item gives."""
        entitlements = {"movies": movies} | ({"analytics": True, "support": "chat"} if item == "gold" else {}) | more
        answer = self.ask("PUT", f"/v1/items/{item}/draft", {"entitlements": entitlements})
        assert answer.status_code in {200, 201}, answer.text

    def lines(self, body: object = None, role: str = "admin") -> list[dict[str, Any]]:
        """The lines of a preview."""
        answer = self.ask("POST", "/v1/preview", body, role)
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]


@pytest.fixture
def api(sqlite_url: str) -> Iterator[Api]:
    """The API, with a small catalog in force as publication 1."""
    with opened(sqlite_url) as press:
        press.apply()
        press.hold("acme", "gold")
        press.hold("beta", "free")
        endpoints = [
            *items.endpoints(),
            *publishing.endpoints(press.publisher),
            *immediate_changes.endpoints(press.publisher),
            *apply_export.endpoints(press.publisher),
        ]
        with serving(press.store, endpoints) as admin:
            yield Api(press, admin)


def test_what_takes_something_is_refused_until_it_is_accepted(api: Api) -> None:
    """The refusal says from whom and what; nothing is in force by it. Accepted, the answer and the audit log say it."""
    api.draft(40)
    refused = api.ask("POST", "/v1/publish", {})
    problem = refused.json()
    assert (refused.status_code, problem["type"]) == (409, "urn:tiergate:problem:customers-would-lose")
    assert "1 customer would lose something or get less (`movies`: 1 gets less)" in problem["detail"]
    assert problem["impact"]["customers"]["take"] == 1
    example = problem["impact"]["features"][0]["examples"][0]
    assert (example["customer"], example["before"]["value"], example["after"]["value"]) == ("acme", 50, 40)
    assert api.press.sequence == 1
    done = api.ask("POST", "/v1/publish", {"accept_loss": problem["accept_loss"]})
    assert (done.status_code, timeless(done.json()["impact"])) == (201, timeless(problem["impact"]))
    assert any('"take":1' in it for row in api.press.rows()["audit"] for it in row if isinstance(it, str))


def test_what_takes_nothing_is_published_without_asking(api: Api) -> None:
    """Where by its look nobody can lose anything, no customer is asked about; a dry run asks nevertheless."""
    api.draft(60)
    dry = api.ask("POST", "/v1/publish", {"dry_run": True}).json()
    assert (dry["impact"]["customers"]["more"], dry["impact"]["customers"]["take"]) == (1, 0)
    done = api.ask("POST", "/v1/publish", {})
    assert (done.status_code, "impact" in done.json()) == (201, False)


def test_what_nobody_holds_can_be_lessened(api: Api) -> None:
    """Only customers who have something can lose it."""
    answer = api.ask("PUT", "/v1/items/extra/draft", {"entitlements": {"movies": {"add": 5}}})
    assert answer.status_code in {200, 201}
    done = api.ask("POST", "/v1/publish", {})
    assert (done.status_code, done.json()["impact"]["examined"]) == (201, 0)


def test_applying_a_file_is_refused_likewise(api: Api) -> None:
    """And accepted likewise."""
    body = file(4)
    assert api.ask("POST", "/v1/apply", body).status_code == 409
    dry = api.ask("POST", "/v1/apply", {**body, "dry_run": True}).json()
    assert dry["impact"]["customers"]["less"] == 1
    assert api.ask("POST", "/v1/apply", {**body, "accept_loss": dry["accept_loss"]}).status_code == 201


def test_a_rollout_by_which_somebody_loses_is_refused(sqlite_url: str) -> None:
    """To narrow who has a version is one thing, to take something from them another: both must be meant."""
    with opened(sqlite_url) as press:
        press.apply()
        press.hold("acme", "gold")
        routes = [
            *items.endpoints(),
            *publishing.endpoints(press.publisher),
            *immediate_changes.endpoints(press.publisher),
        ]
        with serving(press.store, routes) as admin:
            api = Api(press, admin)
            api.draft(60)
            assert api.ask("POST", "/v1/publish", {}).status_code == 201
            body = {"version": 1, "narrow": True}
            path = "/v1/items/gold/rollouts"
            refused = api.ask("POST", path, body).json()
            assert refused["type"].endswith("customers-would-lose")
            dry = api.ask("POST", path, {**body, "dry_run": True}).json()
            assert (dry["accept_loss"], dry["published"]) == (refused["accept_loss"], False)
            assert api.ask("POST", path, {**body, "accept_loss": dry["accept_loss"]}).status_code == 201


def test_a_rollback_and_a_suspension_take_what_they_take(api: Api) -> None:
    """They are for emergencies: not refused, but a dry run says what they would do; a token binds them too."""
    api.draft(60)
    assert api.ask("POST", "/v1/publish", {}).status_code == 201
    dry = api.ask("POST", "/v1/publications/1/rollback", {"dry_run": True}).json()
    assert dry["impact"]["customers"]["less"] == 1
    suspensions = "/v1/features/movies/suspensions"
    other = api.ask("POST", suspensions, {"dry_run": True}).json()["accept_loss"]
    for path, right, wrong in (
        ("/v1/publications/1/rollback", dry["accept_loss"], other),
        (suspensions, None, dry["accept_loss"]),
    ):
        assert api.ask("POST", path, {"accept_loss": True}).status_code == 422
        refused = api.ask("POST", path, {"accept_loss": wrong})
        assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (409, "customers-would-lose")
        body = {"accept_loss": right or refused.json()["accept_loss"]}
        assert api.ask("POST", path, body).status_code == 201
    api.draft(60)
    assert api.ask("POST", "/v1/publish", {}).status_code == 201
    assert api.ask("POST", "/v1/publications/1/rollback", {}).status_code == 201
    assert api.ask("POST", suspensions, {}).status_code == 201


def test_a_refusal_is_not_what_a_key_answers_for(api: Api) -> None:
    """What was published under an idempotency key is answered again, whatever is pending meanwhile."""
    api.draft(60)
    first = api.ask("POST", "/v1/publish", {}, idempotency_key="k")
    api.draft(10)
    again = api.ask("POST", "/v1/publish", {}, idempotency_key="k")
    assert (again.status_code, again.content) == (201, first.content)
    assert api.ask("POST", "/v1/publish", {}).status_code == 409


def test_a_preview_tells_every_effect_and_last_the_whole(api: Api) -> None:
    """Of what is pending, of a choice, or of a file; nothing is changed."""
    api.draft(40)
    *effects, last = api.lines()
    assert [it["effect"]["customer"] for it in effects] == ["acme"]
    assert last["outcome"]["impact"]["customers"]["less"] == 1
    assert [it["id"] for it in last["outcome"]["changes"]] == ["gold"]
    assert "impact" not in api.lines({"publish": {"items": ["free"]}})[-1]["outcome"]
    *effects, _ = api.lines({"apply": file(6)})
    assert [(it["effect"]["customer"], it["effect"]["effect"]) for it in effects] == [("beta", "more")]
    assert api.press.sequence == 1


def test_a_preview_looks_at_one_instant_alone(api: Api) -> None:
    """Before a rollout begins nothing is different; at its instant something is."""
    api.draft(40)
    later = {"publish": {"rollout": {"from": "2999-01-01T00:00:00Z"}}}
    assert len(api.lines(later)) == 2
    assert len(api.lines({**later, "at": "2998-01-01T00:00:00Z"})) == 1
    assert len(api.lines({**later, "at": "2999-01-01T00:00:00Z"})) == 2


@pytest.mark.parametrize("body", [{"publish": {}, "apply": {"catalog": {}}}, {"at": "soon"}, {"publish": {"nots": 1}}])
def test_a_preview_is_read_strictly(api: Api, body: object) -> None:
    """As every body."""
    assert api.ask("POST", "/v1/preview", body).status_code == 422


def test_customers_are_named_to_those_who_may_see_them_all(api: Api) -> None:
    """A publisher is told how many, and not who."""
    api.draft(40)
    (last,) = api.lines(role="publisher")
    impact = last["outcome"]["impact"]
    assert (impact["customers"]["less"], "acme" in json.dumps(last)) == (1, False)
    assert "acme" not in api.ask("POST", "/v1/publish", {}, "publisher").text
    token = last["outcome"]["accept_loss"]
    assert "acme" not in api.ask("POST", "/v1/publish", {"accept_loss": token}, "publisher").text
    assert api.press.sequence == 2


def test_many_customers_are_asked_about_in_a_process_of_its_own(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same result."""
    api.press.hold("gamma", SubscriptionItem("gold", quantity=2))
    api.draft(40, analytics=False)
    here = api.lines()
    monkeypatch.setattr(loss_estimate, "MAX_IN_PROCESS", 0)
    assert timeless(api.lines()) == timeless(here)
    refused = api.ask("POST", "/v1/publish", {}).json()
    assert timeless(refused["impact"]) == timeless(here[-1]["outcome"]["impact"])


def test_a_process_that_fails_publishes_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be found out is not taken for nothing."""
    api.draft(40)
    monkeypatch.setattr(loss_estimate, "MAX_IN_PROCESS", 0)
    monkeypatch.setattr(loss_estimate, "_WORKER", ("false",))
    assert api.ask("POST", "/v1/publish", {}).status_code == 503
    assert api.press.sequence == 1


def test_who_comes_to_hold_something_meanwhile_is_asked_about(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at all customers and the publication somebody buys what it lessens: it is refused."""
    api.draft(4, "free")
    tally = loss_estimate.LossEstimate.tally

    def bought(self: loss_estimate.LossEstimate, store: object) -> loss_estimate.ImpactLine:
        found = tally(self, store)  # type: ignore[arg-type]
        if all(it[0] != "late" for it in api.press.rows()["customer"]):
            api.press.hold("late", "free")
            found = {**found, "customers": {**found["customers"], "take": 0}}  # as if nobody had held it before
        return found

    monkeypatch.setattr(loss_estimate.LossEstimate, "tally", bought)
    refused = api.ask("POST", "/v1/publish", {})
    assert (refused.status_code, refused.json()["impact"]["customers"]["take"]) == (409, 2)
