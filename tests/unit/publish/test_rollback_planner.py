"""Going back is a place from which one can go on: what a rollback leaves to edit, and what can be published then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from tests.publishing import CATALOG, Press, opened
from tiergate.errors import PublishError
from tiergate.model import (
    Amount,
    Audience,
    AudienceType,
    Definition,
    Feature,
    FeatureType,
    Level,
    Rollout,
    Rules,
    SubscriptionItem,
    Switch,
)
from tiergate.publish.changeset import EditSelection
from tiergate.publish.immediate_planner import plan_rollouts
from tiergate.publish.pending_planner import plan_pending_edits, read_pending_edits
from tiergate.publish.published_state import is_pending_draft
from tiergate.publish.rollback_planner import plan_rollback
from tiergate.publish.rollouts import RolloutTarget, current_version, rebase_entitlements

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.model import Value

GOLD: dict[str, Value] = {"analytics": Switch(on=True), "movies": Amount(50), "support": Level("chat")}
MORE: dict[str, Value] = {**GOLD, "movies": Amount(60)}
FORBID = '@id("a")\nforbid (principal, action, resource == Feature::"movies");\n'
SHARE = Audience(AudienceType.SHARE, share=3000)
ONLY_GOLD = EditSelection(frozenset(), frozenset({"gold"}), frozenset(), roles=False)


@pytest.fixture
def press(store_url: str) -> Iterator[Press]:
    """A store on either database, with a small catalog in force as publication 1."""
    with opened(store_url) as found:
        found.apply()
        yield found


@pytest.fixture
def small(sqlite_url: str) -> Iterator[Press]:
    """The same on SQLite, for what does not depend on the database."""
    with opened(sqlite_url) as found:
        found.apply()
        yield found


def pending(press: Press) -> list[str]:
    """What is pending, as kinds and ids."""

    def work(unit):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        found = read_pending_edits(unit, press.publisher.published_state(unit))
        places = [f"features/{id_}" for id_ in found.features] + [f"items/{id_}" for id_ in found.items]
        return sorted(places + [f"rules/{key}" for key in found.rules])

    return press.store.read(work)


def given(press: Press, id_: str = "gold") -> dict[str, Value]:
    """What an item gives to everybody."""
    item = press.catalog.items[id_]
    (rollout,) = item.rollouts
    return next(it.entitlements for it in item.versions if it.version == rollout.version)


# ── what a draft is compared with ────────────────────────────────────────────────────────────────────────────────────


def rollout(version: int, type_: AudienceType = AudienceType.EVERYBODY, start: int = 0) -> Rollout:
    """A rollout."""
    return Rollout(version, start, Audience(type_))


@pytest.mark.parametrize(
    ("rollouts", "version"),
    [
        ((), 0),
        ((rollout(1),), 1),
        ((rollout(2), rollout(1)), 1),
        ((rollout(1), rollout(2, AudienceType.SHARE)), 1),
        ((rollout(1), rollout(2, AudienceType.TAG)), 1),
        ((rollout(1), rollout(2, AudienceType.NEW)), 2),
        ((rollout(1), rollout(2, start=101)), 1),
        ((rollout(1), rollout(2, start=100)), 2),
        ((rollout(1, AudienceType.SHARE),), 1),
        ((rollout(1, start=101),), 1),
    ],
)
def test_a_draft_is_compared_with_what_comes_to_whoever_comes_now(rollouts: tuple[Rollout, ...], version: int) -> None:
    """At the instant 100: neither shares, nor tags, nor what begins later."""
    assert current_version(rollouts, 100) == version


def test_edits_of_a_draft_move_to_another_ground() -> None:
    """What is added, changed or taken out stays so; the rest is what is given there."""
    one, two, three = Amount(1), Amount(2), Amount(3)
    old: dict[str, Value] = {"same": one, "edited": one, "gone": one, "mistake": one}
    draft: dict[str, Value] = {"same": one, "edited": two, "mistake": one, "new": two}
    new: dict[str, Value] = {"same": one, "edited": three, "gone": three, "back": three}
    assert rebase_entitlements(draft, old, new) == {"same": one, "edited": two, "new": two, "back": three}


# ── rollback, then edit ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_draft_that_is_like_a_past_version_rolls_it_out_again(press: Press) -> None:
    """What `pending` shows is published, whatever number it had."""
    press.draft("gold", MORE)
    press.publish()
    press.publish_plan(plan_rollback(1))
    press.draft("gold", MORE)
    assert pending(press) == ["items/gold"]
    outcome = press.publish()
    assert outcome.is_new
    assert (given(press), press.versions("gold"), press.item("gold").draft) == (MORE, [2], None)
    assert pending(press) == []


def test_a_draft_that_is_what_is_given_now_is_not_pending(press: Press) -> None:
    """Although a newer version, that was taken back, gives something else."""
    press.draft("gold", MORE)
    press.publish()
    press.publish_plan(plan_rollback(1))
    press.draft("gold", GOLD)
    assert pending(press) == []
    assert not press.publish().is_new
    assert not is_pending_draft(GOLD, press.catalog.items["gold"], 0)


def test_a_rollout_that_was_taken_back_is_out_of_the_way(press: Press) -> None:
    """Its version can be published again, by its content; and what differs from what is given is pending."""
    press.draft("gold", MORE)
    press.publish(gold=RolloutTarget(SHARE))
    press.publish_plan(plan_rollouts("gold", lambda *_: (Rollout(1),), may_narrow=True))
    press.draft("gold", GOLD)
    assert pending(press) == []
    press.draft("gold", MORE)
    assert pending(press) == ["items/gold"]
    press.publish()
    assert (given(press), press.versions("gold")) == (MORE, [2])


def test_a_draft_follows_a_rollback_with_its_edits(press: Press) -> None:
    """An edit that was begun on the mistake does not keep the mistake."""
    press.draft("gold", MORE)
    press.publish()
    press.draft("gold", {**MORE, "support": Level("phone")})
    press.publish_plan(plan_rollback(1))
    assert press.item("gold").draft == {**GOLD, "support": Level("phone")}
    press.publish()
    assert given(press) == {**GOLD, "support": Level("phone")}


def test_a_draft_follows_a_rollout_with_its_edits(small: Press) -> None:
    """What is widened meanwhile is not undone by whoever publishes an edit of something else."""
    small.draft("gold", MORE)
    small.publish(gold=RolloutTarget(SHARE))
    small.draft("gold", {**GOLD, "support": Level("phone")})
    small.publish_plan(plan_rollouts("gold", lambda old, _: (*old, Rollout(2))))
    assert small.item("gold").draft == {**MORE, "support": Level("phone")}


def test_a_draft_follows_an_applied_file_with_its_edits(small: Press) -> None:
    """A file that changes another entitlement of the same item leaves the edit pending, and nothing else."""
    small.draft("gold", {**GOLD, "support": Level("phone")})
    small.apply(CATALOG.replace("movies: 50", "movies: 60"))
    assert small.item("gold").draft == {**MORE, "support": Level("phone")}


def test_an_edit_of_one_field_keeps_no_other_field_of_the_mistake(press: Press) -> None:
    """Of a feature and of an item's own fields: what was published comes back, what is pending stays."""
    movies = press.feature("movies")
    press.edit_features(replace(movies, unit="mistakes"))
    press.edit_item("extra", available_for=("free",), description="a mistake")
    press.publish()
    press.edit_features(replace(movies, unit="mistakes", name="Movies"))
    press.edit_item("extra", name="Extra")
    press.publish_plan(plan_rollback(1))
    assert press.feature("movies") == replace(movies, name="Movies")
    extra = press.item("extra").item
    assert (extra.name, extra.available_for, extra.description) == ("Extra", ("gold",), "")
    assert pending(press) == ["features/movies", "items/extra"]


def test_a_pending_deletion_stays_pending(press: Press) -> None:
    """Nothing comes back into the working state that somebody took out of it and did not publish."""
    press.draft("gold", MORE)
    press.publish()
    press.apply(CATALOG.replace("  - {id: movies", "  - {id: spare, type: switch, status: archived}\n  - {id: movies"))
    press.draft("gold", {**MORE, "movies": Amount(70)})
    press.publish()
    press.remove_feature("spare")
    press.publish_plan(plan_rollback(3))
    assert pending(press) == ["features/spare"]


def test_rules_go_back_too(press: Press) -> None:
    """But for a file that is edited and not published."""
    press.edit_rule("policies", "eu", FORBID)
    press.publish()
    press.edit_rule("policies", "us", FORBID.replace('"a"', '"b"'))
    press.publish_plan(plan_rollback(1))
    assert press.store.read(press.publisher.published_state).rules == Rules()
    assert pending(press) == ["rules/policies/us"]


# ── no jams ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_edit_that_the_past_does_not_allow_is_dropped_and_named(press: Press) -> None:
    """A level that a past version gives is taken out by a pending edit: the rollback wins, and all can be published."""
    press.draft("gold", {**GOLD, "support": Level("email")})
    press.publish()
    press.edit_features(Feature(id="support", type=FeatureType.CUSTOM, labels=("email", "phone")))
    outcome = press.publish_plan(plan_rollback(1))
    assert outcome.discarded == ("features/support",)
    assert press.feature("support").labels == ("email", "chat", "phone")
    press.edit_item("gold", name="Gold")
    assert press.publish().is_new
    assert "edit.discarded" in str(press.rows()["audit"])


def test_a_feature_that_was_made_again_as_another_type_gives_way(press: Press) -> None:
    """As a store of before may have one: the past publication's feature comes back."""
    press.draft("gold", {"movies": Amount(50), "support": Level("chat")})
    press.publish()
    press.remove_feature("analytics")
    press.publish()
    press.edit_features(Feature(id="analytics", type=FeatureType.QUANTITY))
    outcome = press.publish_plan(plan_rollback(1))
    assert outcome.discarded == ("features/analytics",)
    assert not press.publish().is_new


def test_what_could_not_be_published_before_does_not_matter(small: Press) -> None:
    """A rule that does not compile stays as it is being written."""
    small.draft("gold", MORE)
    small.publish()
    small.edit_rule("policies", "eu", "nonsense")
    outcome = small.publish_plan(plan_rollback(1))
    assert outcome.discarded == ()
    assert pending(small) == ["rules/policies/eu"]


def test_an_item_that_only_edits_name_gives_nothing_to_anybody(small: Press) -> None:
    """An item without a rollout stays without one when its name is published."""
    small.apply(
        CATALOG.replace("kind: plan, entitlements: {movies: 5}", "kind: plan, rollouts: [], entitlements: {movies: 5}")
    )
    assert small.catalog.items["free"].rollouts == ()
    small.edit_item("free", name="Free")
    small.publish()
    assert small.catalog.items["free"].rollouts == ()


def test_the_type_of_what_was_published_is_kept_for_ever(press: Press) -> None:
    """Also of a feature that no version ever gave, and that is gone."""
    press.apply(CATALOG.replace("items:", "  - {id: spare, type: switch, status: archived}\nitems:", 1))
    press.remove_feature("spare")
    press.publish()
    assert "spare" not in press.catalog.features
    with pytest.raises(PublishError) as caught:
        press.apply(CATALOG.replace("items:", "  - {id: spare, type: quantity}\nitems:", 1))
    assert [it.code for it in caught.value.problems] == ["type-changed"]
    press.apply(CATALOG.replace("items:", "  - {id: spare, type: switch}\nitems:", 1))


def test_what_a_rollback_removed_is_published_by_its_name_alone(small: Press) -> None:
    """Publishing everything else does not bring it back."""
    small.apply(CATALOG + "  - {id: team, kind: plan, entitlements: {movies: 1}}\n")
    small.publish_plan(plan_rollback(1))
    small.draft("gold", MORE)
    small.publish()
    assert "team" not in small.catalog.items
    small.publish_plan(plan_pending_edits(EditSelection(frozenset(), frozenset({"team"}), frozenset(), roles=False)))
    assert list(small.catalog.items["team"].versions) == [Definition(1, {"movies": Amount(1)})]


def test_a_pinned_version_does_not_count_as_what_is_given(press: Press) -> None:
    """The draft is compared with the version in force, not with one that somebody is pinned to."""
    press.draft("gold", MORE)
    press.publish()
    press.hold("acme", SubscriptionItem("gold", version=2))
    press.publish_plan(plan_rollback(1))
    press.draft("gold", MORE)
    assert pending(press) == ["items/gold"]
    press.publish(ONLY_GOLD)
    assert given(press) == MORE
