from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.publishing import CATALOG, Press, opened
from tiergate.catalog import load_catalog_texts
from tiergate.errors import CatalogError, PublishError
from tiergate.model import (
    Amount,
    Catalog,
    Feature,
    FeatureStatus,
    FeatureType,
    Item,
    ItemKind,
    PlansPerSubscription,
    Reporter,
    ReporterKind,
    Rollout,
    Rules,
    Status,
    StatusReport,
    SubscriptionItem,
    Suspension,
)
from tiergate.publish.catalog_export import export_catalog, omit_private_items
from tiergate.publish.immediate_planner import plan_suspension
from tiergate.publish.rollback_planner import plan_rollback
from tiergate.store import SYSTEM
from tiergate.store.publications import versions
from tiergate.store.status_reports import add_report

if TYPE_CHECKING:
    from collections.abc import Iterator

PRIVATE = CATALOG + "  - {id: bespoke, kind: plan, private_to: acme, entitlements: {movies: 99}}\n"
SMALL = CATALOG[: CATALOG.index("  - {id: extra")]
RULE = '@id("%s")\nforbid (principal, action, resource == Feature::"movies");\n'


def movies(number: int, version: str = "") -> str:
    """The catalog with so many movies in the plan `gold`."""
    text = CATALOG.replace("movies: 50", f"movies: {number}")
    return text.replace("{id: gold, kind: plan, ", f"{{id: gold, kind: plan, {version}")


@pytest.fixture
def press(sqlite_url: str) -> Iterator[Press]:
    """A store with the small catalog in force."""
    with opened(sqlite_url) as found:
        found.apply()
        yield found


def given(press: Press, id_: str) -> dict[int, int]:
    """How many movies each version in the bundle gives."""
    found = {it.version: it.entitlements["movies"] for it in press.catalog.items[id_].versions}
    return {number: value.units for number, value in found.items() if isinstance(value, Amount)}


def refused(press: Press, text: str, *, prune: bool = False) -> list[str]:
    """What stands against applying a text: the codes."""
    with pytest.raises(PublishError) as caught:
        press.apply(text, prune=prune)
    return [problem.code for problem in caught.value.problems]


# ── versions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_item_without_a_number_gets_the_next_one(press: Press) -> None:
    """Where it gives something new, and not where it gives what it gave."""
    press.apply(movies(60))
    assert given(press, "gold") == {2: 60}
    assert not press.apply(movies(60)).is_new
    press.apply(movies(50))
    assert given(press, "gold") == {3: 50}


def test_an_item_without_a_number_keeps_its_rollouts(press: Press) -> None:
    """A version that only some have stays theirs alone."""
    text = "rollouts: [{version: 1}, {version: 2, audience: {share: 10}}]"
    both = (
        f"versions: [{{version: 1, entitlements: {{movies: 5}}}}, {{version: 2, entitlements: {{movies: 6}}}}], {text}"
    )
    press.apply(CATALOG.replace("kind: plan, entitlements: {movies: 5}", f"kind: plan, {both}"))
    before = press.catalog.items["free"].rollouts
    press.apply(CATALOG.replace("movies: 5}", "movies: 6}"))
    assert (press.catalog.items["free"].rollouts, given(press, "free")) == (before, {1: 5, 2: 6})


def test_a_number_that_is_written_is_kept(press: Press) -> None:
    """Even one that lies below the newest."""
    press.apply(movies(70, "version: 7, "))
    press.apply(movies(60, "version: 3, "))
    assert given(press, "gold") == {3: 60}
    assert press.item("gold").newest == 7


def test_a_published_number_never_says_something_else(press: Press) -> None:
    """It is told which number is free."""
    press.apply(movies(60))
    with pytest.raises(PublishError, match="such as 3") as caught:
        press.apply(movies(99, "version: 1, "))
    problem = caught.value.problems[0]
    assert (problem.file, problem.line, problem.code) == ("catalog.yaml", 8, "version-published")


def test_what_is_wrong_with_a_number_is_told_once(press: Press) -> None:
    """That of a version in force, too."""
    assert refused(press, movies(99, "version: 1, ")) == ["version-published"]


def test_a_version_that_is_pinned_stays(press: Press) -> None:
    """Whatever the file says."""
    press.hold("acme", SubscriptionItem("gold", version=1))
    press.apply(movies(60), prune=True)
    assert given(press, "gold") == {1: 50, 2: 60}


def test_versions_that_no_rollout_reaches_come_along(press: Press) -> None:
    """So that the revision is that of the file's compilation."""
    old = "versions: [{version: 1, entitlements: {movies: 5}}, {version: 9, entitlements: {movies: 6}}]"
    press.apply(CATALOG.replace("kind: plan, entitlements: {movies: 5}", f"kind: plan, {old}"))
    assert given(press, "free") == {1: 5, 9: 6}
    assert press.catalog.items["free"].rollouts == (Rollout(9),)


# ── what stays ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_the_file_does_not_name_stays(press: Press) -> None:
    """Unless it is to be pruned; its versions are remembered."""
    assert not press.apply(SMALL).is_new
    press.apply(SMALL, prune=True)
    assert sorted(press.catalog.items) == ["free", "gold"]
    known = press.store.read(lambda unit: versions(unit.session, ["extra"]))
    assert sorted(known["extra"]) == [1]
    press.apply()
    assert press.versions("extra") == [1]


def test_only_archived_features_are_pruned(press: Press) -> None:
    """And only those that nothing gives."""
    plain = CATALOG.replace("  - {id: movies", "  - {id: idle, type: switch}\n  - {id: movies")
    press.apply(plain)
    assert refused(press, CATALOG, prune=True) == ["feature-active"]
    press.apply(plain.replace("{id: idle, type: switch", "{id: idle, type: switch, status: archived"))
    press.apply(CATALOG, prune=True)
    assert sorted(press.catalog.features) == ["analytics", "movies", "support"]


def test_a_feature_with_an_open_report_is_not_pruned(press: Press) -> None:
    """A new one with its id would show the report."""
    plain = CATALOG.replace("  - {id: movies", "  - {id: idle, type: switch, status: archived}\n  - {id: movies")
    press.apply(plain)
    reporter = Reporter(ReporterKind.PERSON, "kim")
    report = StatusReport(id="rep_1", feature="idle", status=Status.DOWN, start=1, reporter=reporter)
    press.store.change(lambda unit: add_report(unit, report), SYSTEM)
    assert refused(press, CATALOG, prune=True) == ["feature-mapped"]


def test_a_suspension_is_not_taken_back_by_a_file_without_it(press: Press) -> None:
    """A file with suspensions says which there are, and so does one that prunes."""
    press.publish_plan(plan_suspension("movies", Suspension(reason="outage")))
    assert not press.apply().is_new
    press.apply(CATALOG.replace("type: quantity", "type: quantity, suspensions: [{reason: sale}]"))
    assert [it.reason for it in press.catalog.features["movies"].suspensions] == ["sale"]
    press.apply(prune=True)
    assert press.catalog.features["movies"].suspensions == ()


def test_pending_edits_of_other_things_stay_pending(press: Press) -> None:
    """Drafts too, unless they are what the file says."""
    press.draft("free", {"movies": Amount(6)})
    press.edit_features(Feature(id="analytics", type=FeatureType.SWITCH, status=FeatureStatus.ARCHIVED))
    press.apply(movies(60))
    assert press.item("free").draft == {"movies": Amount(6)}
    assert press.feature("analytics").status is FeatureStatus.ARCHIVED
    press.apply(CATALOG.replace("movies: 5}", "movies: 6}"))
    assert press.item("free").draft is None


def test_private_items_are_neither_pruned_nor_exported(press: Press) -> None:
    """Unless one asks for them."""
    press.apply(PRIVATE)
    press.apply(prune=True)
    assert "bespoke" in press.catalog.items
    assert "bespoke" not in export_catalog(press.catalog)
    assert load_catalog_texts({"c.yaml": export_catalog(press.catalog, private=True)}).catalog == press.catalog


def test_what_goes_with_private_items_alone_is_private_too() -> None:
    """What is left names nothing that is left out."""

    def item(id_: str, kind: ItemKind = ItemKind.ADDON, **named: tuple[str, ...]) -> Item:
        return Item(id=id_, kind=kind, versions=(), rollouts=(), **named)  # type: ignore[arg-type]

    secret = Item(id="secret", kind=ItemKind.PLAN, versions=(), rollouts=(), private_to="acme")
    items = [
        item("plan", ItemKind.PLAN, excludes=("secret",)),
        secret,
        item("both", available_for=("plan", "secret")),
        item("only", available_for=("secret",)),
        item("deep", depends_on=("only",)),
    ]
    found = omit_private_items(Catalog({}, {it.id: it for it in items})).items
    assert sorted(found) == ["both", "plan"]
    assert (found["plan"].excludes, found["both"].available_for) == ((), ("plan",))


def test_rules_are_added_or_take_the_place_of_all(press: Press) -> None:
    """As the catalog."""
    press.apply(rules=Rules({"one": RULE % "a"}))
    press.apply(rules=Rules({"two": RULE % "b"}))
    assert sorted(press.store.read(press.publisher.published_state).rules.policies) == ["one", "two"]
    assert not press.apply().is_new
    press.apply(rules=Rules({"two": RULE % "b"}), prune=True)
    assert sorted(press.store.read(press.publisher.published_state).rules.policies) == ["two"]
    assert not press.publish().is_new


def test_ladders_live_in_files(press: Press) -> None:
    """They are kept like the rest, and go when they are pruned."""
    press.apply(CATALOG + "ladders:\n  - {id: all, plans: [free, gold]}\n")
    assert not press.apply().is_new
    assert [it.id for it in press.catalog.ladders] == ["all"]
    assert [(it.kind, it.change) for it in press.apply(prune=True).changes] == [("ladder", "removed")]


def test_a_file_comes_back_after_a_rollback(press: Press) -> None:
    """Under the number that it had."""
    press.apply(movies(60))
    press.publish_plan(plan_rollback(1))
    assert given(press, "gold") == {1: 50}
    press.apply(movies(60, "version: 2, "))
    assert given(press, "gold") == {2: 60}


# ── loading texts ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_texts_are_loaded_like_files() -> None:
    """Together they make one catalog; problems name them, and numbers that nobody wrote are told."""
    features, items = CATALOG.split("items:\n")
    items = "apiVersion: tiergate/v1\nitems:\n" + items.replace("id: free", "version: 2, id: free")
    loaded = load_catalog_texts({"a.yaml": features, "b.yaml": items})
    assert loaded.catalog.items["free"].versions[0].version == 2
    assert loaded.unnumbered == {"gold", "extra"}
    with pytest.raises(CatalogError, match=r"b\.yaml:2"):
        load_catalog_texts({"a.yaml": features + "items: []\n", "b.yaml": "apiVersion: tiergate/v1\nitem: []\n"})
    with pytest.raises(CatalogError, match="no file"):
        load_catalog_texts({})


# ── how many plans ───────────────────────────────────────────────────────────────────────────────────────────────────


def plan_rule(press: Press) -> PlansPerSubscription:
    """What is published of how many plans a subscription may have."""
    return press.catalog.plans


def test_a_file_says_how_many_plans_a_subscription_may_have(press: Press) -> None:
    """It stays as it is where no file speaks of it, is the default where the rest is pruned, and is exported."""
    assert plan_rule(press) is PlansPerSubscription.ONE
    assert press.apply(CATALOG.replace("features:", "plans: many\nfeatures:", 1)).is_new
    assert plan_rule(press) is PlansPerSubscription.MANY
    press.apply(movies(60))
    assert plan_rule(press) is PlansPerSubscription.MANY
    text = export_catalog(press.catalog)
    assert load_catalog_texts({"catalog.yaml": text}).catalog == press.catalog
    assert press.apply(CATALOG.replace("features:", "plans: one\nfeatures:", 1)).is_new
    assert plan_rule(press) is PlansPerSubscription.ONE
    press.apply(text)
    assert plan_rule(press) is PlansPerSubscription.MANY
    press.apply(movies(70), prune=True)
    assert plan_rule(press) is PlansPerSubscription.ONE
