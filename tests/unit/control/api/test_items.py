from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.published import put_in_force
from tests.unit.control.catalog_server import Working, problem, serve_working
from tiergate.catalog import sort_catalog
from tiergate.model import (
    Amount,
    Audience,
    AudienceType,
    Catalog,
    Customer,
    Definition,
    Feature,
    FeatureType,
    Item,
    ItemKind,
    Ladder,
    Level,
    Rollout,
    Subscription,
    SubscriptionItem,
    SubscriptionStatus,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

STORAGE = {"id": "storage", "type": "quantity", "scale": 3, "unit": "GB"}
SUPPORT = {"id": "support", "type": "custom", "levels": ["email", "chat", "phone"]}
REPORTS = {"id": "reports", "type": "switch"}
PRO = {"id": "pro", "kind": "plan", "name": "Pro", "tags": ["public"], "entitlements": {"storage": 2.5}}
EXTRA = {"id": "extra", "kind": "addon", "available_for": ["pro"], "private_to": "acme"}


@pytest.fixture
def working(store_url: str) -> Iterator[Working]:
    """An API on either database, with three features, a plan and an add-on."""
    with serve_working(store_url) as found:
        yield filled(found)


@pytest.fixture
def small(sqlite_url: str) -> Iterator[Working]:
    """The same on SQLite, for what does not depend on the database."""
    with serve_working(sqlite_url) as found:
        yield filled(found)


def filled(working: Working) -> Working:
    """Create what the tests speak of."""
    working.make("/v1/features", STORAGE, SUPPORT, REPORTS)
    working.make("/v1/items", PRO, EXTRA)
    return working


def hold(working: Working, item: str, customer: str = "acme") -> None:
    """Have a customer hold an item."""
    held = Subscription(f"s-{customer}", customer, SubscriptionStatus.ACTIVE, (SubscriptionItem(item),))
    working.add_subject(Customer(customer), held)


def publish(working: Working) -> None:
    """Put two versions of `pro` in force: 1 for everybody, 2 for some."""
    known = [
        Feature(id="storage", type=FeatureType.QUANTITY, scale=3),
        Feature(id="support", type=FeatureType.CUSTOM, labels=("email", "chat", "phone")),
    ]
    versions = (
        Definition(1, {"storage": Amount(1500), "support": Level("email")}),
        Definition(2, {"storage": Amount(1500), "support": Level("chat")}),
    )
    rollouts = (Rollout(1), Rollout(2, audience=Audience(AudienceType.TAG, tag="beta")))
    pro = Item(id="pro", kind=ItemKind.PLAN, versions=versions, rollouts=rollouts)
    put_in_force(working.store, sort_catalog(Catalog({feature.id: feature for feature in known}, {"pro": pro})))


# ── Items ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_item_is_created_with_its_draft(working: Working) -> None:
    """The draft has an address of its own; what was never published has no version."""
    shown = working.ask("GET", "/v1/items/pro")
    said = {key: value for key, value in shown.json().items() if key not in {"created_at", "updated_at"}}
    assert said == {
        "id": "pro",
        "kind": "plan",
        "name": "Pro",
        "tags": ["public"],
        "rollouts": [],
        "newest_version": 0,
        "has_draft": True,
        "etag": '"1"',
    }
    draft = working.ask("GET", "/v1/items/pro/draft").json()
    assert (draft["item"], draft["entitlements"], draft["etag"]) == ("pro", {"storage": 2.5}, '"1"')
    assert problem(working.ask("GET", "/v1/items/extra/draft"))[:2] == (404, "not-found")


def test_an_item_is_created_once(small: Working) -> None:
    """Under one key, however often the request comes; without, a second time is a conflict."""
    body = {"id": "max", "kind": "plan"}
    first, second = (small.ask("POST", "/v1/items", body, idempotency_key="k") for _ in range(2))
    assert (first.status_code, first.content) == (second.status_code, second.content)
    assert problem(small.ask("POST", "/v1/items", body)) == (409, "already-exists", [])


def test_an_item_names_what_exists_and_can_be_held(small: Working) -> None:
    """By the rules of the files, whatever the request."""
    body = {"id": "more", "kind": "addon", "available_for": ["pro", "extra"], "excludes": ["pro"], "depends_on": ["x"]}
    assert problem(small.ask("POST", "/v1/items", body)) == (
        422,
        "invalid-body",
        [("/available_for/1", "not-a-plan"), ("/excludes/0", "contradiction"), ("/depends_on/0", "unknown-item")],
    )
    answer = small.ask("PATCH", "/v1/items/pro", {"excludes": ["extra"]})
    assert problem(answer) == (422, "invalid-body", [("", "unsatisfiable")])


def test_what_is_published_is_not_edited_with_the_item(small: Working) -> None:
    """Nor is the draft, by a patch of the item."""
    body: dict[str, Any] = {"versions": [], "rollouts": [], "entitlements": {}}
    assert problem(small.ask("PATCH", "/v1/items/pro", body)) == (
        422,
        "invalid-body",
        [("/versions", "not-edited-here"), ("/rollouts", "not-edited-here"), ("/entitlements", "not-edited-here")],
    )


def test_a_patch_of_an_item_leaves_the_rest(working: Working) -> None:
    """Its draft above all."""
    answer = working.ask("PATCH", "/v1/items/pro", {"name": None, "tags": ["a", "b"]}, if_match='"1"')
    assert (answer.status_code, answer.headers["etag"], answer.json()["tags"]) == (200, '"2"', ["a", "b"])
    assert "name" not in answer.json()
    assert working.ask("GET", "/v1/items/pro/draft").json()["entitlements"] == {"storage": 2.5}
    assert working.ask("PATCH", "/v1/items/pro", {"name": "x"}, if_match='"1"').status_code == 412
    assert working.ask("GET", "/v1/items?tag=b").json()["items"][0]["id"] == "pro"
    assert working.ask("GET", "/v1/items?tag=public").json()["items"] == []


def test_items_are_found_by_what_they_are(working: Working) -> None:
    """By tag, text, kind, customer and draft."""

    def found(query: str) -> list[str]:
        return [entry["id"] for entry in working.ask("GET", f"/v1/items?{query}").json()["items"]]

    assert found("") == ["extra", "pro"]
    assert found("tag=public") == found("text=PRO") == found("kind=plan") == found("has_draft=true") == ["pro"]
    assert found("private_to=acme") == found("has_draft=false") == ["extra"]
    assert found("tag=public&kind=addon") == []
    page = working.ask("GET", "/v1/items?limit=1").json()
    assert found(f"cursor={page['next']}") == ["pro"]


def test_an_item_in_use_is_not_deleted(working: Working) -> None:
    """Not while a subscription holds it, nor while another item names it."""
    hold(working, "pro")
    answer = working.ask("DELETE", "/v1/items/pro")
    assert problem(answer) == (409, "item-in-use", [])
    assert answer.json()["detail"].endswith("the subscription `s-acme`, the item `extra`")
    assert working.ask("DELETE", "/v1/items/extra").status_code == 204
    assert working.ask("GET", "/v1/items/extra").status_code == 404


def test_a_plan_of_a_ladder_is_not_deleted(small: Working) -> None:
    """The ladder would have a rung less."""
    small.make("/v1/items", {"id": "max", "kind": "plan"})
    plans = {
        id_: Item(id=id_, kind=ItemKind.PLAN, versions=(Definition(1, {}),), rollouts=()) for id_ in ("max", "pro")
    }
    put_in_force(small.store, Catalog({}, plans, (Ladder("up", ("pro", "max")),)))
    answer = small.ask("DELETE", "/v1/items/max")
    assert (answer.status_code, answer.json()["detail"]) == (409, "`max` is in use, by the ladder `up`")


def test_versions_of_a_deleted_item_are_not_given_out_again(small: Working) -> None:
    """A new one of its id goes on counting."""
    publish(small)
    small.ask("DELETE", "/v1/items/extra")
    assert small.ask("DELETE", "/v1/items/pro").status_code == 204
    small.make("/v1/items", PRO)
    assert small.ask("GET", "/v1/items/pro").json()["newest_version"] == 2


def test_the_kind_of_a_published_item_stays(small: Working) -> None:
    """Before that it can change."""
    assert small.ask("PATCH", "/v1/items/extra", {"kind": "charge"}).json()["kind"] == "charge"
    small.ask("DELETE", "/v1/items/extra")
    publish(small)
    assert problem(small.ask("PATCH", "/v1/items/pro", {"kind": "addon"})) == (409, "kind-published", [])


def test_an_item_does_not_become_private_under_its_holders(working: Working) -> None:
    """To its only holder it can."""
    hold(working, "pro")
    answer = working.ask("PATCH", "/v1/items/pro", {"private_to": "globex"})
    assert problem(answer) == (409, "item-held", [])
    assert working.ask("PATCH", "/v1/items/pro", {"private_to": "acme"}).is_success


def test_items_are_seen_and_edited_by_those_who_may(small: Working) -> None:
    """Sales look on; a key narrowed to one customer does not see another's item."""
    sales = small.admin.as_("sales-agent")
    assert sales.get("/v1/items").status_code == sales.get("/v1/items/pro/draft").status_code == 200
    for method, path, body in (
        ("POST", "/v1/items", {"id": "new", "kind": "plan"}),
        ("PATCH", "/v1/items/pro", {"name": "x"}),
        ("PUT", "/v1/items/pro/draft", {"entitlements": {}}),
        ("PUT", "/v1/items/pro/draft/entitlements/reports", True),
    ):
        assert sales.request(method, path, json=body).status_code == 403
    assert sales.delete("/v1/items/pro").status_code == 403
    assert small.admin.as_("analyst", customers=["acme"]).get("/v1/items/extra").status_code == 200
    assert small.admin.as_("analyst", customers=["globex"]).get("/v1/items/extra").status_code == 403


# ── Drafts ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def draft(working: Working) -> Any:  # noqa: ANN401 - any JSON
    """The entitlements of the draft of `pro`."""
    return working.ask("GET", "/v1/items/pro/draft").json()["entitlements"]


def test_a_draft_is_put_as_a_whole(small: Working) -> None:
    """Every form of a value, exactly."""
    entitlements = {"reports": False, "storage": {"add": 0.125, "per": "subscription"}, "support": "chat"}
    answer = small.ask("PUT", "/v1/items/pro/draft", {"entitlements": entitlements}, if_match='"1"')
    assert (answer.status_code, answer.headers["etag"], answer.json()["entitlements"]) == (200, '"2"', entitlements)
    assert draft(small) == entitlements
    assert small.ask("PUT", "/v1/items/pro/draft", {"entitlements": {}}, if_match='"1"').status_code == 412


def test_a_draft_is_edited_in_part(small: Working) -> None:
    """By a patch, or one feature at a time."""
    small.ask("PATCH", "/v1/items/pro/draft", {"entitlements": {"support": "phone", "storage": None}})
    small.ask("PUT", "/v1/items/pro/draft/entitlements/reports", "true")
    assert draft(small) == {"reports": True, "support": "phone"}
    small.ask("PUT", "/v1/items/pro/draft/entitlements/storage", {"value": 7, "per": "unit"})
    small.ask("PUT", "/v1/items/pro/draft/entitlements/storage", {"add": 1})
    assert draft(small) == {"reports": True, "storage": {"add": 1}, "support": "phone"}
    assert small.ask("DELETE", "/v1/items/pro/draft/entitlements/reports").status_code == 200
    assert small.ask("DELETE", "/v1/items/pro/draft/entitlements/reports").status_code == 404
    assert draft(small) == {"storage": {"add": 1}, "support": "phone"}


def test_a_draft_gives_what_features_have(small: Working) -> None:
    """All that is wrong is said, and nothing is changed."""
    body = {"entitlements": {"storage": 0.0005, "support": "fax", "repots": True}}
    assert problem(small.ask("PUT", "/v1/items/pro/draft", body)) == (
        422,
        "invalid-body",
        [
            ("/entitlements/storage", "bad-number"),
            ("/entitlements/support", "unknown-level"),
            ("/entitlements/repots", "unknown-feature"),
        ],
    )
    assert problem(small.ask("PUT", "/v1/items/pro/draft/entitlements/support", "5"))[1:] == (
        "invalid-body",
        [("", "unfit-value")],
    )
    assert small.ask("PUT", "/v1/items/pro/draft/entitlements/nothing", "5").status_code == 404
    assert draft(small) == {"storage": 2.5}


def test_a_draft_begins_with_the_version_that_it_is_compared_with(small: Working) -> None:
    """Not with a newer one that only a tag gets; where a part of it is edited and there is none yet."""
    publish(small)
    assert small.ask("DELETE", "/v1/items/pro/draft").status_code == 204
    small.ask("PUT", "/v1/items/pro/draft/entitlements/reports", "true")
    assert draft(small) == {"reports": True, "storage": 1.5, "support": "email"}
    difference = small.ask("GET", "/v1/items/pro/draft/diff").json()
    assert difference["changes"] == [{"feature": "reports", "change": "added", "after": True}]


def test_an_archived_feature_takes_no_new_entitlements(small: Working) -> None:
    """Whoever gives it already may go on; by whatever request."""
    small.ask("POST", "/v1/features/storage/archive")
    small.ask("POST", "/v1/features/reports/archive")
    refused = (409, "feature-archived", [("/entitlements/reports", "feature-archived")])
    body = {"entitlements": {"reports": True, "storage": 9}}
    assert problem(small.ask("PUT", "/v1/items/pro/draft", body)) == refused
    assert problem(small.ask("PATCH", "/v1/items/pro/draft", body)) == refused
    assert problem(small.ask("PUT", "/v1/items/pro/draft/entitlements/reports", "true")) == refused
    new = {"id": "new", "kind": "plan", "entitlements": {"reports": True}}
    assert problem(small.ask("POST", "/v1/items", new)) == refused
    assert small.ask("PUT", "/v1/items/pro/draft/entitlements/storage", "9").is_success


def test_the_audit_log_says_what_became_of_items_and_drafts(working: Working) -> None:
    """Before and after, in the words of the files."""
    seen = len(working.audit())
    working.ask("PATCH", "/v1/items/pro", {"tags": []})
    working.ask("PUT", "/v1/items/pro/draft/entitlements/storage", "0.5")
    working.ask("DELETE", "/v1/items/pro/draft")
    working.ask("DELETE", "/v1/items/extra")
    bare = {"id": "pro", "kind": "plan", "name": "Pro"}
    assert working.audit()[seen:] == [
        ("item.edited", "pro", bare | {"tags": ["public"]}, bare),
        ("draft.edited", "pro", {"entitlements": {"storage": 2.5}}, {"entitlements": {"storage": 0.5}}),
        ("draft.deleted", "pro", {"entitlements": {"storage": 0.5}}, None),
        ("item.deleted", "extra", EXTRA, None),
    ]


# ── Versions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_published_versions_are_listed_and_shown(working: Working) -> None:
    """The newest first; what each gives, by the features as they were."""
    publish(working)
    page = working.ask("GET", "/v1/items/pro/versions?limit=1").json()
    assert [(entry["version"], entry["publication"]) for entry in page["items"]] == [(2, 1)]
    rest = working.ask("GET", f"/v1/items/pro/versions?cursor={page['next']}").json()
    assert ([entry["version"] for entry in rest["items"]], rest["next"]) == ([1], None)
    shown = working.ask("GET", "/v1/items/pro/versions/1").json()
    assert (shown["version"], shown["entitlements"]) == (1, {"storage": 1.5, "support": "email"})
    for version in ("3", "x", "0", "9999999999999999999999"):
        assert working.ask("GET", f"/v1/items/pro/versions/{version}").status_code == 404
    assert working.ask("GET", "/v1/items/nothing/versions").status_code == 404
    assert working.ask("GET", "/v1/items/pro").json()["rollouts"] == [
        {"version": 1},
        {"version": 2, "audience": {"tag": "beta"}},
    ]


def test_a_draft_is_compared_with_what_everybody_gets(small: Working) -> None:
    """Or with the version that is asked for."""
    publish(small)
    small.ask("PUT", "/v1/items/pro/draft", {"entitlements": {"reports": True, "support": "chat"}})
    added = {"feature": "reports", "change": "added", "after": True}
    removed = {"feature": "storage", "change": "removed", "before": 1.5}
    changed = {"feature": "support", "change": "changed", "before": "email", "after": "chat"}
    assert small.ask("GET", "/v1/items/pro/draft/diff").json() == {
        "item": "pro",
        "against": 1,
        "changes": [added, removed, changed],
    }
    against = small.ask("GET", "/v1/items/pro/draft/diff?against=2").json()
    assert against["changes"] == [added, removed]
    assert small.ask("GET", "/v1/items/pro/draft/diff?against=9").status_code == 404


def test_a_draft_of_what_was_never_published_is_all_new(small: Working) -> None:
    """There is nothing that it stands against."""
    assert small.ask("GET", "/v1/items/pro/draft/diff").json() == {
        "item": "pro",
        "changes": [{"feature": "storage", "change": "added", "after": 2.5}],
    }
