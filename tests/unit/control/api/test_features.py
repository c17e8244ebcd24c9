from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.published import put_in_force
from tests.unit.control.catalog_server import Working, problem, serve_working
from tiergate.model import (
    Amount,
    Catalog,
    Customer,
    Definition,
    Feature,
    FeatureType,
    Item,
    ItemKind,
    Level,
    Override,
    OverrideMode,
    Rollout,
    Suspension,
    Value,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

STORAGE = {"id": "storage", "type": "quantity", "scale": 3, "unit": "GB", "levels": [1, 2.5], "tags": ["disk"]}
SUPPORT = {"id": "support", "type": "custom", "levels": ["email", "chat", "phone"], "name": "Support"}
REPORTS = {"id": "reports", "type": "switch", "status": "draft", "tags": ["disk"], "description": "Über alles"}


@pytest.fixture
def working(store_url: str) -> Iterator[Working]:
    """An API on either database."""
    with serve_working(store_url) as found:
        yield found


@pytest.fixture
def small(sqlite_url: str) -> Iterator[Working]:
    """An API on SQLite, for what does not depend on the database."""
    with serve_working(sqlite_url) as found:
        found.make("/v1/features", STORAGE, SUPPORT, REPORTS)
        yield found


def test_a_feature_is_created_as_a_file_says_it(working: Working) -> None:
    """And shown as it was said, with an entity tag and times."""
    answer = working.ask("POST", "/v1/features", STORAGE)
    assert (answer.status_code, answer.headers["location"]) == (201, "/v1/features/storage")
    shown = working.ask("GET", "/v1/features/storage")
    assert shown.headers["etag"] == answer.headers["etag"] == '"1"'
    assert shown.json().items() >= STORAGE.items()
    assert shown.json().keys() - STORAGE.keys() == {"etag", "created_at", "updated_at"}
    assert '"levels":[1,2.5]' in shown.text


def test_a_feature_is_created_once(small: Working) -> None:
    """A second one of its id is a conflict."""
    assert problem(small.ask("POST", "/v1/features", REPORTS)) == (409, "already-exists", [])


def test_a_creation_is_repeated_by_its_key(working: Working) -> None:
    """The same request is answered alike, and done once."""
    first, second = (working.ask("POST", "/v1/features", REPORTS, idempotency_key="k1") for _ in range(2))
    assert (first.status_code, first.content) == (second.status_code, second.content)
    assert [action for action, *_ in working.audit()] == ["feature.created"]


def test_all_that_is_wrong_is_said_at_once(small: Working) -> None:
    """With pointers; nothing is created."""
    body = {"id": "x", "type": "range", "levels": [], "min": 5, "max": 1, "linked": ["nothing"]}
    assert problem(small.ask("POST", "/v1/features", body)) == (
        422,
        "invalid-body",
        [("/levels", "key-not-for-type"), ("/max", "empty-range")],
    )
    assert small.ask("GET", "/v1/features/x").status_code == 404


def test_an_unknown_feature_is_not_found(small: Working) -> None:
    """And the likely one is named."""
    answer = small.ask("GET", "/v1/features/suport")
    assert (answer.status_code, answer.json()["suggestion"]) == (404, "support")


def test_a_patch_changes_what_it_names(working: Working) -> None:
    """Null takes away, the rest stays; the entity tag rises."""
    working.make("/v1/features", STORAGE)
    answer = working.ask("PATCH", "/v1/features/storage", {"unit": None, "name": "Storage", "levels": [1, 2.5, 7]})
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
    said = {key: value for key, value in answer.json().items() if key not in {"etag", "created_at", "updated_at"}}
    assert said == {
        "id": "storage",
        "name": "Storage",
        "type": "quantity",
        "scale": 3,
        "levels": [1, 2.5, 7],
        "tags": ["disk"],
    }


def test_a_patch_that_changes_nothing_is_no_change(small: Working) -> None:
    """The entity tag stays, and the audit log says nothing."""
    assert small.ask("PATCH", "/v1/features/storage", {"unit": "GB"}).headers["etag"] == '"1"'
    assert [action for action, *_ in small.audit()] == ["feature.created"] * 3


def test_the_type_of_a_feature_never_changes(small: Working) -> None:
    """Nor does its id."""
    body = {"type": "switch", "id": "other"}
    assert problem(small.ask("PATCH", "/v1/features/support", body)) == (
        422,
        "invalid-body",
        [("/id", "fixed-value"), ("/type", "fixed-value")],
    )


def test_a_lost_race_is_told(working: Working) -> None:
    """Whoever has seen an older state changes nothing, whatever the request."""
    working.make("/v1/features", REPORTS)
    assert working.ask("PATCH", "/v1/features/reports", {"name": "A"}, if_match='"1"').status_code == 200
    for method, path, body in (
        ("PATCH", "", {"name": "B"}),
        ("DELETE", "", None),
        ("POST", "/activate", None),
    ):
        answer = working.ask(method, f"/v1/features/reports{path}", body, if_match='"1"')
        assert (answer.status_code, answer.headers["etag"]) == (412, '"2"')
    assert working.ask("GET", "/v1/features/reports").json()["name"] == "A"


def test_of_racing_writers_who_saw_the_same_one_wins(working: Working) -> None:
    """The others are told so."""
    working.make("/v1/features", REPORTS)
    clients = [working.admin.as_("admin") for _ in range(6)]
    statuses: list[int] = []

    def write(place: int) -> None:
        answer = clients[place].patch(
            "/v1/features/reports", json={"name": f"writer {place}"}, headers={"if-match": '"1"'}
        )
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=write, args=(place,)) for place in range(len(clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 412, 412, 412, 412, 412]


def test_a_status_moves_by_its_own_requests(small: Working) -> None:
    """One that is there already is left alone, one from elsewhere is refused."""
    moves = ("archive", "reactivate", "activate", "activate", "archive", "activate", "reactivate")
    assert [small.ask("POST", f"/v1/features/reports/{verb}").status_code for verb in moves] == [
        409,
        409,
        200,
        200,
        200,
        409,
        200,
    ]
    assert [action for action, *_ in small.audit()[3:]] == [
        "feature.activated",
        "feature.archived",
        "feature.reactivated",
    ]


def test_the_audit_log_says_before_and_after(working: Working) -> None:
    """In the words of the files, numbers exactly."""
    working.make("/v1/features", STORAGE)
    working.ask("PATCH", "/v1/features/storage", {"tags": []})
    working.ask("POST", "/v1/features/storage/archive")
    working.ask("DELETE", "/v1/features/storage")
    untagged = {key: value for key, value in STORAGE.items() if key != "tags"}
    archived = untagged | {"status": "archived"}
    assert working.audit() == [
        ("feature.created", "storage", None, STORAGE),
        ("feature.edited", "storage", STORAGE, untagged),
        ("feature.archived", "storage", untagged, archived),
        ("feature.deleted", "storage", archived, None),
    ]


def test_features_are_found_by_what_they_are(working: Working) -> None:
    """By tag, text, type and status, and by several together."""
    working.make("/v1/features", STORAGE, SUPPORT, REPORTS)

    def found(query: str) -> list[str]:
        return [entry["id"] for entry in working.ask("GET", f"/v1/features?{query}").json()["items"]]

    assert found("") == ["reports", "storage", "support"]
    assert found("tag=disk") == ["reports", "storage"]
    assert found("text=ÜBER") == found("text=u%CC%88ber") == found("text=%EF%BD%95%CC%88BE") == ["reports"]
    assert found("text=PORT") == ["reports", "support"]
    assert found("type=custom") == ["support"]
    assert found("status=draft") == ["reports"]
    assert found("tag=disk&status=active") == ["storage"]
    assert found("tag=disk&tag=reports") == found("tag=disk,reports") == []
    assert found("type=custom&type=quantity") == found("type=custom,quantity") == ["storage", "support"]
    assert found("text=%25") == found("tag=nothing") == []
    assert working.ask("GET", "/v1/features?tag=d%27--").status_code == 400


def test_a_filter_that_says_nothing_known_is_refused(small: Working) -> None:
    """With what it could be."""
    answer = small.ask("GET", "/v1/features?type=custm")
    assert (answer.status_code, "did you mean `custom`?" in answer.json()["detail"]) == (400, True)


def test_pages_are_stable_while_features_come_and_go(working: Working) -> None:
    """Nothing stands twice, and nothing that was there all the time is missed."""
    working.make("/v1/features", *({"id": f"f{number}", "type": "switch"} for number in range(7)))
    seen: list[str] = []
    query = "limit=3"
    while True:
        page = working.ask("GET", f"/v1/features?{query}").json()
        seen += [entry["id"] for entry in page["items"]]
        if page["next"] is None:
            break
        new = f"f{seen[-1][1:]}a"
        working.make("/v1/features", {"id": "a" + new, "type": "switch"})
        query = f"limit=3&cursor={page['next']}"
    assert seen == [f"f{number}" for number in range(7)]


# ── What is in use ───────────────────────────────────────────────────────────────────────────────────────────────────


def sell(working: Working, **entitlements: Any) -> None:  # noqa: ANN401 - any JSON
    """Have the plan `pro` give something, published as version 7, and the draft of `max` too."""
    values: dict[str, Value] = {"storage": Amount(2500), "support": Level("chat")}
    working.make(
        "/v1/items", {"id": "pro", "kind": "plan"}, {"id": "max", "kind": "plan", "entitlements": entitlements}
    )
    known = {
        "storage": Feature(id="storage", type=FeatureType.QUANTITY, scale=3),
        "support": Feature(id="support", type=FeatureType.CUSTOM, labels=("email", "chat", "phone")),
    }
    pro = Item(id="pro", kind=ItemKind.PLAN, versions=(Definition(7, values),), rollouts=(Rollout(7),))
    put_in_force(working.store, Catalog(known, {"pro": pro}))


def test_what_is_mapped_is_not_pulled_away(working: Working) -> None:
    """Levels, their order and the scale stay; whoever holds them is named."""
    working.make("/v1/features", STORAGE, SUPPORT)
    sell(working, support="phone", storage=1)
    working.add_subject(Customer("acme", overrides=(Override("o1", "support", OverrideMode.REPLACE, Level("email")),)))
    answer = working.ask("PATCH", "/v1/features/support", {"levels": ["phone"]})
    assert problem(answer) == (409, "level-mapped", [("/levels", "level-mapped")] * 2)
    assert "the override `o1` of the customer `acme`" in answer.json()["errors"][0]["detail"]
    assert "`plan/pro@7`" in answer.json()["errors"][1]["detail"]
    answer = working.ask("PATCH", "/v1/features/support", {"levels": ["email", "phone", "chat"]})
    assert problem(answer) == (409, "level-order", [("/levels", "level-order")])
    assert "the draft of `plan/max`" in answer.json()["detail"]
    answer = working.ask("PATCH", "/v1/features/storage", {"scale": 4})
    assert problem(answer) == (409, "scale-mapped", [("/scale", "scale-mapped")])
    assert working.ask("PATCH", "/v1/features/support", {"levels": ["email", "new", "chat", "phone"]}).is_success


def test_a_feature_in_use_is_not_deleted(working: Working) -> None:
    """Not while a reachable version, a draft, an override, a suspension or a link names it, nor while it is active."""
    working.make("/v1/features", STORAGE, SUPPORT, REPORTS, {"id": "extra", "type": "switch", "linked": ["reports"]})
    sell(working, storage=1)
    working.add_subject(
        Customer(
            "acme",
            overrides=(Override("o1", "support", OverrideMode.DISABLED, None),),
            suspensions=(Suspension("reports"),),
        )
    )
    answer = working.ask("DELETE", "/v1/features/storage")
    assert problem(answer)[:2] == (409, "feature-active")
    for feature, holders in (
        ("storage", ["`plan/pro@7`", "the draft of `plan/max`"]),
        ("support", ["`plan/pro@7`", "the override `o1` of the customer `acme`"]),
        ("reports", ["a suspension of the customer `acme`", "the feature `extra`, which is linked to it"]),
    ):
        working.ask("POST", f"/v1/features/{feature}/archive")
        answer = working.ask("DELETE", f"/v1/features/{feature}")
        assert problem(answer) == (409, "feature-mapped", [])
        assert [holder for holder in holders if holder not in answer.json()["detail"]] == []


CREDITS = {"id": "credits", "type": "quantity", "scale": 2, "metered": {"reset": "never"}}
CALLS = {
    "id": "calls",
    "type": "quantity",
    "metered": {
        "reset": {"every": 2, "of": "week"},
        "anchor": "subscription",
        "timezone": "Europe/Berlin",
        "limit": "soft",
        "overage_max": 20,
        "rollover": {"max": 5},
        "late": "36 hours",
        "spend": "grants_first",
        "offline": "deny",
    },
    "draws": {"from": "credits", "cost": 1.25},
}


def test_how_usage_is_counted_is_created_shown_and_patched(working: Working) -> None:
    """As a file says it; a patch reaches the settings inside."""
    working.make("/v1/features", CREDITS, CALLS)
    assert working.ask("GET", "/v1/features/calls").json().items() >= CALLS.items()
    patch = {"metered": {"timezone": None, "late": "1 day", "rollover": {"max": 6}}, "draws": {"cost": 0.5}}
    assert working.ask("PATCH", "/v1/features/calls", patch).is_success
    shown = working.ask("GET", "/v1/features/calls").json()
    assert (shown["metered"]["late"], shown["metered"]["rollover"]) == ("1 day", {"max": 6})
    assert "timezone" not in shown["metered"]
    assert shown["draws"] == {"from": "credits", "cost": 0.5}


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ({"metered": {"timezone": "Europe/Berln"}}, ("/metered/timezone", "unknown-time-zone")),
        ({"metered": {"limit": "hard"}}, ("/metered/overage_max", "key-conflict")),
        ({"metered": {"overage_max": 0.5}}, ("/metered/overage_max", "bad-number")),
        ({"metered": {"rollover": {"max": 0}}}, ("/metered/rollover/max", "bad-number")),
        ({"metered": {"late": "91 days"}}, ("/metered/late", "bad-duration")),
        ({"metered": None}, ("/draws", "draws-not-metered")),
        ({"draws": {"from": "credit"}}, ("/draws/from", "unknown-feature")),
        ({"draws": {"from": "storage"}}, ("/draws/from", "unfit-source")),
        ({"draws": {"from": "calls"}}, ("/draws/from", "self-reference")),
        ({"draws": {"cost": 0.125}}, ("/draws/cost", "bad-number")),
    ],
)
def test_a_mistake_in_how_usage_is_counted_is_refused(
    small: Working, patch: dict[str, Any], expected: tuple[str, str]
) -> None:
    """With its pointer; nothing changes."""
    small.make("/v1/features", CREDITS, CALLS)
    assert problem(small.ask("PATCH", "/v1/features/calls", patch)) == (422, "invalid-body", [expected])
    assert small.ask("GET", "/v1/features/calls").headers["etag"] == '"1"'


def test_what_is_drawn_on_stays_so(working: Working) -> None:
    """Its scale, its being metered, its drawing on nothing, and itself, while something draws on it."""
    working.make(
        "/v1/features",
        CREDITS | {"status": "draft"},
        CALLS,
        {"id": "x", "type": "quantity"} | {"metered": {"reset": "day"}},
    )
    for patch, pointer in (
        ({"scale": 3}, "/scale"),
        ({"metered": None}, "/metered"),
        ({"draws": {"from": "x", "cost": 1}}, "/draws"),
    ):
        answer = working.ask("PATCH", "/v1/features/credits", patch)
        assert problem(answer) == (409, "source-mapped", [(pointer, "source-mapped")])
    answer = working.ask("DELETE", "/v1/features/credits")
    assert problem(answer) == (409, "feature-mapped", [])
    assert "`calls`, which draws on it" in answer.json()["detail"]
    assert working.ask("PATCH", "/v1/features/calls", {"draws": None}).is_success
    assert working.ask("PATCH", "/v1/features/credits", {"scale": 3}).is_success
    assert working.ask("DELETE", "/v1/features/credits").is_success


def test_a_limit_of_its_own_keeps_a_feature_metered(working: Working) -> None:
    """A plan, its draft or an override that gives one is named."""
    working.make("/v1/features", CREDITS)
    working.make("/v1/items", {"id": "pro", "kind": "plan"})
    soft = {"value": 100, "limit": "soft", "overage_max": 0.5}
    answer = working.ask("PUT", "/v1/items/pro/draft", {"entitlements": {"credits": soft}})
    assert answer.is_success
    assert working.ask("GET", "/v1/items/pro/draft").json()["entitlements"] == {"credits": soft}
    answer = working.ask("PATCH", "/v1/features/credits", {"metered": None})
    assert problem(answer) == (409, "limit-mapped", [("/metered", "limit-mapped")])
    assert "the draft of `plan/pro`" in answer.json()["detail"]


def test_a_version_that_nothing_reaches_holds_nothing(working: Working) -> None:
    """A level that only it gave can go."""
    working.make("/v1/features", SUPPORT)
    known = {"support": Feature(id="support", type=FeatureType.CUSTOM, labels=("email", "chat", "phone"))}
    working.make("/v1/items", {"id": "pro", "kind": "plan"})
    for version, label in ((1, "chat"), (2, "phone")):
        definition = Definition(version, {"support": Level(label)})
        pro = Item(id="pro", kind=ItemKind.PLAN, versions=(definition,), rollouts=(Rollout(version),))
        put_in_force(working.store, Catalog(known, {"pro": pro}))
    assert working.ask("PATCH", "/v1/features/support", {"levels": ["email", "phone"]}).is_success
    assert problem(working.ask("PATCH", "/v1/features/support", {"levels": ["email"]}))[:2] == (409, "level-mapped")


def test_suspensions_are_not_edited_with_the_feature(small: Working) -> None:
    """They act at once, and have requests of their own."""
    body = {"suspensions": [{"reason": "a bug"}]}
    expected = (422, "invalid-body", [("/suspensions", "not-edited-here")])
    assert problem(small.ask("PATCH", "/v1/features/support", body)) == expected
    assert problem(small.ask("POST", "/v1/features", {"id": "new", "type": "switch"} | body)) == expected


def test_only_those_who_may_edit_features(small: Working) -> None:
    """Sales and support look on."""
    client = small.admin.as_("sales-manager", "customer-support")
    assert client.get("/v1/features").status_code == client.get("/v1/features/support").status_code == 200
    for method, path, body in (
        ("POST", "/v1/features", {"id": "new", "type": "switch"}),
        ("PATCH", "/v1/features/support", {"name": "x"}),
        ("DELETE", "/v1/features/reports", None),
        ("POST", "/v1/features/reports/activate", None),
    ):
        assert client.request(method, path, json=body if method in {"POST", "PATCH"} else None).status_code == 403
    assert len(small.audit()) == 3
