"""Publishing is what was reviewed, and going back is a place from which one can go on: random stories, a small model.

The model knows of each item what everybody gets, what some get, and what is edited on top of that: nothing of versions,
drafts or rollouts. Whatever happens, what is pending is what was edited; publishing changes that alone; and after a
rollback that was accepted everything can be published.
"""

from __future__ import annotations

from contextlib import contextmanager
from copy import deepcopy
from random import Random
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.admin import serving
from tests.example_counts import part_of_examples
from tests.publishing import Press, opened
from tiergate.catalog import entitlements_data
from tiergate.control.api import apply_export, features, immediate_changes, items, publishing, rules
from tiergate.model import AudienceType
from tiergate.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

FEW = settings(
    max_examples=part_of_examples(25),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    deadline=None,
)
CATALOG = """\
apiVersion: tiergate/v1
features:
  - {id: movies, type: quantity}
  - {id: reports, type: switch}
  - {id: support, type: custom, levels: [email, chat, phone]}
items:
  - {id: free, kind: plan, entitlements: {movies: 5}}
  - {id: gold, kind: plan, entitlements: {movies: 50, support: chat}}
  - {id: extra, kind: addon, available_for: [gold], entitlements: {movies: {add: 10}}}
"""
VALUES: dict[str, list[Any]] = {"movies": [1, 2, 3], "reports": [True], "support": ["email", "chat", "phone"]}
SHARE = {"audience": {"share": 30}}


@contextmanager
def api(template: Any, folder: Any) -> Iterator[tuple[Press, httpx.Client]]:  # noqa: ANN401 - paths
    """A control plane's API on a store of its own, with a small catalog in force."""
    path = folder / "store.sqlite"
    path.write_bytes(template.read_bytes())
    url = f"sqlite:///{path}"
    Store.open(url, migrating=True).close()
    with opened(url) as press:
        press.apply(CATALOG)
        publisher = press.publisher
        endpoints = [
            *features.endpoints(),
            *apply_export.endpoints(publisher),
            *items.endpoints(),
            *publishing.endpoints(publisher),
            *immediate_changes.endpoints(publisher),
            *rules.endpoints(publisher),
        ]
        with serving(press.store, endpoints) as admin:
            yield press, admin.as_("admin")


# ── what is pending, and what publishing changes ─────────────────────────────────────────────────────────────────────


class Story:
    """A random story of edits, publications, rollouts and rollbacks, with the model beside it."""

    def __init__(self, press: Press, client: httpx.Client, draw: Random) -> None:
        self.press, self.client, self.draw = press, client, draw
        self.given: dict[str, dict[str, Any]] = self._given()
        self.some: dict[str, dict[str, Any]] = {}
        self.edits: dict[str, dict[str, Any]] = {id_: {} for id_ in self.given}
        self.past = [(deepcopy(self.given), deepcopy(self.some))]

    def _given(self) -> dict[str, dict[str, Any]]:
        found = {}
        catalog = self.press.catalog
        for id_, item in catalog.items.items():
            everybody = [it.version for it in item.rollouts if it.audience.type is AudienceType.EVERYBODY]
            definition = next(it for it in item.versions if it.version == everybody[-1])
            found[id_] = dict(entitlements_data(definition.entitlements, catalog.features))
        return found

    def step(self) -> None:
        """Do one thing, and see that everything agrees with the model."""
        id_ = self.draw.choice(sorted(self.given))
        acts = [self.edit, self.publish, self.publish_to_some, self.settle, self.roll_back, self.discard]
        self.draw.choices(acts, weights=(40, 25, 10, 8, 12, 5))[0](id_)
        self.see()

    def edit(self, id_: str) -> None:
        """Give another value for a feature, or nothing."""
        feature = self.draw.choice(sorted(VALUES))
        path = f"/v1/items/{id_}/draft/entitlements/{feature}"
        value = self.draw.choice([None, *VALUES[feature]])
        before = {**self.given[id_], **self.edits[id_]}.get(feature)
        if value is None:
            answer = self.client.delete(path)
            assert answer.status_code == (404 if before is None else 200), answer.text
        else:
            assert self.client.put(path, json=value).is_success
        self.edits[id_][feature] = value
        self._forget(id_)

    def _forget(self, id_: str) -> None:
        """An edit that makes what is given already is none."""
        now = self.given[id_]
        self.edits[id_] = {name: value for name, value in self.edits[id_].items() if now.get(name) != value}

    def discard(self, id_: str) -> None:
        """Give up the edits of an item."""
        answer = self.client.delete(f"/v1/items/{id_}/draft")
        assert answer.status_code in ({204} if self.edits[id_] else {204, 404}), answer.text
        self.edits[id_] = {}

    def publish(self, id_: str) -> None:
        """Publish everything, or one item, to everybody."""
        ids = self.draw.choice([[id_], sorted(self.given)])
        body = {} if len(ids) > 1 else {"items": ids}
        dry = self.client.post("/v1/publish", json={**body, "dry_run": True})
        answer = self.client.post("/v1/publish", json=body, headers={"if-match": dry.headers["etag"]})
        assert answer.is_success, answer.text
        edited = [it for it in ids if self.edits[it]]
        assert [it["id"] for it in answer.json()["changes"]] == [it["id"] for it in dry.json()["changes"]] == edited
        assert answer.json()["published"] is bool(edited)
        for it in edited:
            self.given[it] = {k: v for k, v in {**self.given[it], **self.edits[it]}.items() if v is not None}
            self.some.pop(it, None)
            self.edits[it] = {}
        if edited:
            self._remember()

    def publish_to_some(self, id_: str) -> None:
        """Publish one item to a share: everybody else keeps what they have."""
        content = {k: v for k, v in {**self.given[id_], **self.edits[id_]}.items() if v is not None}
        answer = self.client.post("/v1/publish", json={"items": [id_], "rollout": SHARE})
        assert answer.is_success, answer.text
        is_new = bool(self.edits[id_]) and self.some.get(id_) != content
        assert answer.json()["published"] is is_new
        if is_new:
            self.some[id_] = content
            self.edits[id_] = {}
            self._remember()

    def settle(self, id_: str) -> None:
        """Widen to everybody what some have, or take it back."""
        if id_ not in self.some:
            return
        path = f"/v1/items/{id_}/rollouts"
        first, last = (it["version"] for it in self.client.get(path).json()["rollouts"])
        taken_back = self.draw.random() < 0.5
        body = {"rollouts": [{"version": first if taken_back else last}], "narrow": True}
        assert self.client.put(path, json=body).status_code == 201
        wide = self.some.pop(id_)
        self.given[id_] = self.given[id_] if taken_back else wide
        self._forget(id_)
        self._remember()

    def roll_back(self, _: str) -> None:
        """Put a past publication in force again; it may be what is in force."""
        number = self.draw.randint(1, len(self.past))
        answer = self.client.post(f"/v1/publications/{number}/rollback", json={})
        if number == len(self.past):
            assert answer.status_code == 409
            return
        assert answer.is_success, answer.text
        self.given, self.some = deepcopy(self.past[number - 1])
        for id_ in self.given:
            self._forget(id_)
        if answer.json()["published"]:
            self._remember()

    def _remember(self) -> None:
        self.past.append((deepcopy(self.given), deepcopy(self.some)))
        assert self.press.sequence == len(self.past)

    def see(self) -> None:
        """What everybody gets, what is pending, and how it is told, is as the model says."""
        assert self._given() == self.given
        edited = sorted(id_ for id_, edits in self.edits.items() if edits)
        assert [it["id"] for it in self.client.get("/v1/pending").json()["changes"]] == edited
        listed = self.client.get("/v1/items?has_draft=true").json()["items"]
        assert [it["id"] for it in listed] == edited
        for id_ in edited:
            told = self.client.get(f"/v1/items/{id_}/draft/diff").json()["changes"]
            assert {it["feature"]: it.get("after") for it in told} == self.edits[id_]


@FEW
@given(seed=st.integers(0, 2**32))
def test_what_is_edited_is_pending_and_is_what_publishing_changes(
    sqlite_template: Any,  # noqa: ANN401 - a path
    tmp_path_factory: Any,  # noqa: ANN401 - pytest's own
    seed: int,
) -> None:
    """Whatever was published, rolled out, taken back and rolled back before."""
    with api(sqlite_template, tmp_path_factory.mktemp("store")) as (press, client):
        story = Story(press, client, Random(seed))
        for _ in range(25):
            story.step()


# ── no jams ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def edits(client: httpx.Client, draw: Random) -> None:
    """One random edit of anything; many are refused."""
    feature = draw.choice(["movies", "reports", "support", "spare", "more"])
    item = draw.choice(["free", "gold", "extra", "team", "pack"])
    plans = draw.sample(["free", "gold", "team"], draw.randint(0, 2))
    others = draw.sample(["free", "gold", "extra", "pack"], draw.randint(0, 1))
    type_: dict[str, Any] = draw.choice(
        [{"type": "switch"}, {"type": "quantity"}, {"type": "custom", "levels": ["a", "b"]}]
    )
    value = draw.choice([True, 3, {"add": 2}, "email", "chat", "phone", "a", "b"])
    levels = draw.choice([["email", "chat"], ["email", "phone"], ["email", "chat", "phone"], ["a"], ["a", "b", "c"]])
    rule = f'@id("r")\nforbid (principal in Item::"plan/{item}", action, resource == Feature::"{feature}");\n'
    asked: list[tuple[str, str, object]] = [
        ("POST", "/v1/features", {"id": feature, **type_}),
        ("POST", f"/v1/features/{feature}/archive", None),
        ("POST", f"/v1/features/{feature}/reactivate", None),
        ("DELETE", f"/v1/features/{feature}", None),
        ("DELETE", f"/v1/features/{feature}/draft", None),
        ("PATCH", f"/v1/features/{feature}", {"name": f"N{draw.randint(0, 9)}"}),
        ("PATCH", f"/v1/features/{feature}", {"levels": levels}),
        ("PATCH", f"/v1/features/{feature}", {"scale": draw.randint(0, 2)}),
        ("POST", "/v1/items", {"id": item, "kind": draw.choice(["plan", "addon"]), "entitlements": {feature: value}}),
        ("DELETE", f"/v1/items/{item}", None),
        ("DELETE", f"/v1/items/{item}/draft", None),
        ("PATCH", f"/v1/items/{item}", {"available_for": plans}),
        ("PATCH", f"/v1/items/{item}", {draw.choice(["depends_on", "excludes"]): others}),
        ("PUT", f"/v1/items/{item}/draft/entitlements/{feature}", value),
        ("PUT", f"/v1/items/{item}/draft/entitlements/{feature}", value),
        ("DELETE", f"/v1/items/{item}/draft/entitlements/{feature}", None),
        ("PUT", "/v1/rules/policies/r", {"text": rule}),
        ("DELETE", "/v1/rules/policies/r", None),
    ]
    method, path, body = draw.choice(asked)
    merge = {"content-type": "application/merge-patch+json"} if method == "PATCH" else {}
    answer = client.request(method, path, json=body, headers=merge)
    assert answer.status_code < 500, answer.text


@FEW
@given(seed=st.integers(0, 2**32))
def test_after_a_rollback_everything_can_be_published(
    sqlite_template: Any,  # noqa: ANN401 - a path
    tmp_path_factory: Any,  # noqa: ANN401 - pytest's own
    seed: int,
) -> None:
    """Whatever is edited and not published, unless it could not be published before."""
    draw = Random(seed)
    with api(sqlite_template, tmp_path_factory.mktemp("store")) as (press, client):
        for _ in range(40):
            for _ in range(draw.randint(1, 4)):
                edits(client, draw)
            act = draw.random()
            if act < 0.4:
                client.post("/v1/publish", json={})
            elif act < 0.7 and not client.get("/v1/pending").json()["problems"]:
                before = press.rows()
                answer = client.post(f"/v1/publications/{draw.randint(1, press.sequence)}/rollback", json={})
                if not answer.is_success:
                    assert press.rows() == before
                    continue
                see_all_publishable(press, client, draw)


def see_all_publishable(press: Press, client: httpx.Client, draw: Random) -> None:
    """Edit nothing that matters of each item in force, and publish it with all that is pending."""
    assert client.get("/v1/pending").json()["problems"] == []
    for id_ in press.catalog.items:
        found = client.get(f"/v1/items/{id_}")
        if found.status_code == 404:
            continue  # it is deleted, and that is pending
        body = {"description": str(draw.random())}
        edited = client.patch(f"/v1/items/{id_}", json=body, headers={"content-type": "application/merge-patch+json"})
        assert edited.is_success, edited.text
        assert client.post("/v1/publish", json={"dry_run": True}).json()["problems"] == []
    answer = client.post("/v1/publish", json={})
    assert answer.is_success, answer.text


def test_the_stories_reach_what_they_are_about(sqlite_template: Any, tmp_path: Any) -> None:  # noqa: ANN401
    """Rollbacks that are accepted, and versions for some: else the properties above would say nothing."""
    with api(sqlite_template, tmp_path) as (press, client):
        story = Story(press, client, Random(1))
        for _ in range(40):
            story.step()
        told = client.get("/v1/publications?limit=100").json()["items"]
        assert any("rolled_back_to" in it for it in told)
        assert any(some for _, some in story.past)
        assert press.sequence > 8
