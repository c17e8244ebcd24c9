from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace

from tests.publishing import CATALOG, Press, opened
from tests.signing import key, verify_publication
from tests.stored_lines import read_after
from tiergate import publish
from tiergate.bundle import FileEntry, SigningKey, TrustedFeed, decode_manifest, manifest_of
from tiergate.errors import ConflictError, NotFoundError, PublishError
from tiergate.model import (
    BEGINNING,
    Amount,
    Audience,
    AudienceType,
    Draws,
    Feature,
    FeatureStatus,
    FeatureType,
    Level,
    LimitKind,
    Metered,
    MeteredAmount,
    Override,
    OverrideMode,
    Rollout,
    Rules,
    SubscriptionItem,
    Suspension,
    Switch,
)
from tiergate.publish.changeset import EditSelection
from tiergate.publish.immediate_planner import plan_pins, plan_resumption, plan_rollouts, plan_suspension
from tiergate.publish.pending_planner import plan_pending_edits
from tiergate.publish.rollback_planner import plan_rollback
from tiergate.publish.rollouts import RolloutTarget
from tiergate.store import SYSTEM
from tiergate.store.publications import publication

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tiergate.model import Instant, Value

NONE: frozenset[str] = frozenset()
BETTER: dict[str, Value] = {"analytics": Switch(on=True), "movies": Amount(60), "support": Level("phone")}
TENTH = Audience(AudienceType.SHARE, share=1000)


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


def codes(press: Press, choice: EditSelection | None = None) -> list[tuple[str, str]]:
    """What stands against publishing: place and code of each problem."""
    with pytest.raises(PublishError) as caught:
        press.publish(*([] if choice is None else [choice]))
    return [(problem.file, problem.code) for problem in caught.value.problems]


# ── what a publication is ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_draft_becomes_the_next_version(press: Press) -> None:
    """For everybody, at once; what nobody can reach any more leaves the bundle."""
    press.draft("gold", BETTER)
    outcome = press.publish()
    gold = press.catalog.items["gold"]
    assert (outcome.sequence, gold.rollouts) == (2, (Rollout(2),))
    assert [(it.version, it.entitlements) for it in gold.versions] == [(2, BETTER)]
    working = press.item("gold")
    assert (working.draft, working.newest, working.rollouts) == (None, 2, gold.rollouts)


def test_a_publication_is_signed_and_in_the_feed(press: Press) -> None:
    """Whoever trusts the key reads the revision in force out of the feed's last line."""
    press.draft("gold", BETTER)
    outcome = press.publish()
    last = press.store.read(lambda unit: read_after(unit.session, 1, 10))[-1]
    envelope = bytes(msgspec.json.decode(last.line, type=dict[str, msgspec.Raw])["publication"])
    found = verify_publication(TrustedFeed([key().verify_key], store=press.store.id), envelope)
    assert (found.sequence, found.revision, found.position) == (2, outcome.revision, last.position)
    row = press.store.read(lambda unit: publication(unit.session, 2))
    assert (row.revision, row.position, row.author) == (found.revision, found.position, "system")


def test_the_bundle_is_the_one_that_the_files_make(press: Press, tmp_path: Path) -> None:
    """All of its files are in the store under their hashes, and its revision is that of `tiergate compile`."""
    file = tmp_path / "catalog.yaml"
    file.write_text(CATALOG, encoding="utf-8")
    made = publish.compile_bundle([file])
    revision = press.store.read(lambda unit: unit.published.revision)
    manifest = decode_manifest(press.manifest(revision))
    assert manifest.revision == manifest_of(made).revision

    def content(entry: FileEntry) -> bytes:
        return press.store.read(lambda unit: unit.blob(entry.sha256))

    assert {path: content(entry) for path, entry in manifest.files.items()} == made


def test_nothing_pending_is_no_publication(press: Press) -> None:
    """Nothing is written then, not even to the audit log."""
    before = press.rows()
    outcome = press.publish()
    assert (outcome.is_new, outcome.sequence) == (False, 1)
    assert press.rows() == before


def test_publishing_writes_no_row_for_a_subscriber(small: Press) -> None:
    """With some subscribers or without, the same rows are added."""

    def added() -> dict[str, int]:
        before = small.count()
        small.draft("gold", {"movies": Amount(60 + small.sequence)})
        small.publish()
        after = small.count()
        return {table: after[table] - before[table] for table in after}

    alone = added()
    for number in range(5):
        small.hold(f"c{number}", "gold")
    assert added() == alone


def test_only_what_is_chosen_is_published(small: Press) -> None:
    """The other edits stay pending."""
    small.draft("gold", BETTER)
    small.draft("free", {"movies": Amount(6)})
    small.edit_features(Feature(id="analytics", type=FeatureType.SWITCH, name="Analytics"))
    outcome = small.publish(EditSelection(NONE, frozenset({"free"}), NONE, roles=False))
    assert [(it.kind, it.id) for it in outcome.changes] == [("item", "free")]
    assert small.item("gold").draft == BETTER
    assert [(it.kind, it.id) for it in small.publish().changes] == [("feature", "analytics"), ("item", "gold")]


def test_choosing_what_is_not_there_is_a_mistake(small: Press) -> None:
    """What is there and has no edit is none."""
    assert codes(small, EditSelection(NONE, frozenset({"nothing"}), NONE, roles=False)) == [
        ("items/nothing", "unknown-item")
    ]
    assert not small.publish(EditSelection(NONE, frozenset({"gold"}), NONE, roles=False)).is_new


def test_a_preview_has_no_effect(small: Press) -> None:
    """It says what would change, and which revision it would be."""
    small.draft("gold", BETTER)
    before = small.rows()
    preview = small.publisher.preview(plan_pending_edits())
    assert small.rows() == before
    details = {detail.path: (detail.before, detail.after) for change in preview.changes for detail in change.details}
    assert {path: tuple(None if it is None else bytes(it) for it in pair) for path, pair in details.items()} == {
        "rollouts": (b'[{"version":1}]', b'[{"version":2}]'),
        "versions/1": (b'{"analytics":true,"movies":50,"support":"chat"}', None),
        "versions/2/movies": (b"50", b"60"),
        "versions/2/support": (b'"chat"', b'"phone"'),
    }
    assert small.publish().revision == preview.revision


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_given_must_be_published_with_it(small: Press) -> None:
    """A version that gives a feature which is only drafted is refused, at its place."""
    small.edit_features(Feature(id="later", type=FeatureType.SWITCH))
    small.draft("gold", {**BETTER, "later": Switch(on=True)})
    only_gold = EditSelection(NONE, frozenset({"gold"}), NONE, roles=False)
    assert codes(small, only_gold) == [("items/gold/versions/2/later", "unknown-feature")]
    assert small.publish().is_new


@pytest.mark.parametrize(
    ("feature", "code"),
    [
        (Feature(id="movies", type=FeatureType.SWITCH), "type-changed"),
        (Feature(id="movies", type=FeatureType.QUANTITY, scale=1), "scale-mapped"),
        (Feature(id="movies", type=FeatureType.QUANTITY, status=FeatureStatus.DRAFT), "status-move"),
        (Feature(id="movies", type=FeatureType.QUANTITY, numbers=(5, 51)), "level-mapped"),
        (Feature(id="support", type=FeatureType.CUSTOM, labels=("email", "phone")), "level-mapped"),
        (Feature(id="support", type=FeatureType.CUSTOM, labels=("email", "chat", "phone"), linked=("x",)), None),
    ],
)
def test_edits_that_break_what_is_sold_are_refused(small: Press, feature: Feature, code: str | None) -> None:
    """Even where they came into the working state."""
    small.edit_features(feature)
    assert codes(small)[0] == (f"features/{feature.id}", code or "unknown-feature")


def test_versions_that_nobody_reaches_keep_their_meaning(press: Press) -> None:
    """A number in one never comes to be another, neither by a new scale nor by a new feature of the same id."""
    press.apply(
        CATALOG.replace("movies: 5}", "analytics: true}").replace(", movies: 50", "").replace("movies: {add: 10}", "")
    )
    assert press.versions("gold") == [2]
    scaled = Feature(id="movies", type=FeatureType.QUANTITY, scale=3)
    press.edit_features(scaled)
    assert codes(press) == [("features/movies", "scale-mapped")]
    archived = Feature(id="movies", type=FeatureType.QUANTITY, status=FeatureStatus.ARCHIVED)
    press.edit_features(archived)
    press.publish()
    press.remove_feature("movies")
    press.publish()
    press.edit_features(scaled)
    assert codes(press) == [("features/movies", "scale-mapped")]
    press.edit_features(archived)
    assert press.publish().is_new


CREDITS = Feature(id="credits", type=FeatureType.QUANTITY, metered=Metered())
CALLS = Feature(id="calls", type=FeatureType.QUANTITY, metered=Metered(), draws=Draws("credits", 3))


def test_what_a_feature_draws_on_is_published_with_it(small: Press) -> None:
    """Alone it is refused, at its place."""
    small.edit_features(CREDITS, CALLS)
    only_calls = EditSelection(frozenset({"calls"}), NONE, NONE, roles=False)
    assert codes(small, only_calls) == [("features/calls", "unknown-feature")]
    assert small.publish().is_new


@pytest.mark.parametrize(
    ("feature", "place"),
    [
        (replace(CREDITS, metered=None), "features/calls"),
        (replace(CREDITS, scale=2), "features/calls"),
        (replace(CREDITS, draws=Draws("movies", 1)), "features/calls"),
    ],
)
def test_edits_that_break_a_draw_are_refused(small: Press, feature: Feature, place: str) -> None:
    """Even where they came into the working state, and though the feature that draws has not changed."""
    small.edit_features(CREDITS, CALLS, Feature(id="movies", type=FeatureType.QUANTITY, metered=Metered()))
    small.publish()
    small.edit_features(feature)
    assert (place, "invalid-metering") in codes(small)


def test_a_scale_changes_together_with_what_is_drawn_in_it(small: Press) -> None:
    """A file says both, so that the cost stays what it was."""
    features = "{id: calls, type: quantity, metered: {reset: never}, draws: {from: credits, cost: 3}}"
    credits_ = "{id: credits, type: quantity, metered: {reset: never}}"
    head = "apiVersion: tiergate/v1\nfeatures:\n"
    small.apply(f"{head}  - {features}\n  - {credits_}\nitems: []\n")
    small.apply(f"{head}  - {features}\n  - {credits_.replace('quantity,', 'quantity, scale: 2,')}\nitems: []\n")
    assert small.catalog.features["calls"].draws == Draws("credits", 300, 2)


def test_a_limit_that_an_override_gives_keeps_its_feature_metered(press: Press) -> None:
    """Nobody's exception may lose its meaning."""
    press.edit_features(Feature(id="movies", type=FeatureType.QUANTITY, metered=Metered()))
    press.publish()
    override = Override("o", "movies", OverrideMode.REPLACE, MeteredAmount(5, None, LimitKind.SOFT))
    press.hold("acme", "gold", overrides=(override,))
    press.edit_features(Feature(id="movies", type=FeatureType.QUANTITY))
    assert codes(press) == [("features/movies", "limit-mapped")]


def test_a_level_that_an_override_gives_stays(press: Press) -> None:
    """Nobody's exception may lose its meaning."""
    override = Override("o", "support", OverrideMode.REPLACE, Level("phone"))
    press.hold("acme", "gold", overrides=(override,))
    press.edit_features(Feature(id="support", type=FeatureType.CUSTOM, labels=("email", "chat")))
    assert codes(press) == [("features/support", "level-mapped")]


def test_an_archived_feature_takes_no_new_entitlements(small: Press) -> None:
    """Existing ones stay."""
    archived = Feature(id="analytics", type=FeatureType.SWITCH, status=FeatureStatus.ARCHIVED)
    small.edit_features(archived)
    small.draft("free", {"analytics": Switch(on=True)})
    assert codes(small) == [("items/free/versions/2/analytics", "feature-archived")]
    small.draft("free", {"movies": Amount(5)})
    small.draft("gold", {**BETTER, "movies": Amount(70)})
    assert small.publish().is_new


def test_an_item_that_is_held_cannot_go(press: Press) -> None:
    """It is told who holds it."""
    press.hold("acme", "gold", "extra")
    text = CATALOG[: CATALOG.index("  - {id: extra")]
    with pytest.raises(PublishError, match="the subscription `sub-acme`") as caught:
        press.apply(text, prune=True)
    assert [it.code for it in caught.value.problems] == ["item-held"]


def test_totals_that_could_overflow_are_refused(press: Press) -> None:
    """A customer who holds very much of an item keeps it from giving too much."""
    press.hold("acme", SubscriptionItem("gold", 1_000_000_000))
    press.draft("gold", {"movies": Amount(10**10)})
    assert codes(press) == [("items/gold", "total-too-large")]


# ── versions, rollouts, pins ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_version_for_a_share_keeps_the_one_before(small: Press) -> None:
    """Both can be reached, until the new one is for everybody."""
    small.draft("gold", BETTER)
    small.publish(gold=RolloutTarget(TENTH))
    assert small.catalog.items["gold"].rollouts == (Rollout(1), Rollout(2, BEGINNING, TENTH))
    assert small.versions("gold") == [1, 2]

    def everybody(before: tuple[Rollout, ...], now: Instant) -> Sequence[Rollout]:
        del now
        return (*before, Rollout(2))

    small.publish_plan(plan_rollouts("gold", everybody))
    assert small.versions("gold") == [2]
    assert small.item("gold").rollouts == small.catalog.items["gold"].rollouts
    assert small.item("gold").rollouts == (Rollout(2),)


def test_a_rollout_acts_without_what_else_is_pending(small: Press) -> None:
    """The publication contains that change alone."""
    small.draft("gold", BETTER)
    small.publish(gold=RolloutTarget(TENTH))
    small.draft("free", {"movies": Amount(6)})
    outcome = small.publish_plan(plan_rollouts("gold", lambda old, _: (*old, Rollout(2))))
    assert [(it.kind, it.id) for it in outcome.changes] == [("item", "gold")]
    assert small.item("free").draft == {"movies": Amount(6)}


def test_narrowing_needs_to_be_meant(small: Press) -> None:
    """Taking a version away from some is refused, unless it is said to be meant."""
    small.draft("gold", BETTER)
    small.publish()
    with pytest.raises(ConflictError) as caught:
        small.publish_plan(plan_rollouts("gold", lambda *_: (Rollout(1),)))
    assert caught.value.code == "rollout-narrowed"
    small.publish_plan(plan_rollouts("gold", lambda *_: (Rollout(1),), may_narrow=True))
    assert small.versions("gold") == [1]


def test_a_pinned_version_stays_in_the_bundle(press: Press) -> None:
    """As long as somebody is pinned to it."""
    press.hold("acme", SubscriptionItem("gold", version=1))
    press.draft("gold", BETTER)
    press.publish()
    assert press.versions("gold") == [1, 2]


def test_a_version_comes_back_for_a_pin(press: Press) -> None:
    """By a publication of its own; one that was never published cannot."""
    press.draft("gold", BETTER)
    press.publish()
    outcome = press.publish_plan(plan_pins({"gold": [1]}))
    assert (outcome.is_new, press.versions("gold")) == (True, [1, 2])
    assert not press.publish_plan(plan_pins({"gold": [1, 2]})).is_new
    with pytest.raises(NotFoundError, match="gold@9"):
        press.publish_plan(plan_pins({"gold": [9]}))


# ── suspensions ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_suspension_acts_at_once_beside_other_edits(press: Press) -> None:
    """The feature's own pending edit stays pending, with the suspension in it."""
    press.edit_features(Feature(id="analytics", type=FeatureType.SWITCH, name="Analytics"))
    suspension = Suspension(reason="outage")
    press.publish_plan(plan_suspension("analytics", suspension))
    published, working = press.catalog.features["analytics"], press.feature("analytics")
    assert (published.name, published.suspensions) == ("", (suspension,))
    assert (working.name, working.suspensions) == ("Analytics", (suspension,))
    press.publish_plan(plan_resumption("analytics", 1))
    assert (press.catalog.features["analytics"].suspensions, press.feature("analytics").suspensions) == ((), ())


def test_only_what_is_published_can_be_suspended(small: Press) -> None:
    """And only a suspension that is there taken back."""
    small.edit_features(Feature(id="later", type=FeatureType.SWITCH))
    with pytest.raises(ConflictError, match="not published"):
        small.publish_plan(plan_suspension("later", Suspension()))
    with pytest.raises(NotFoundError, match="did you mean `movies`"):
        small.publish_plan(plan_suspension("movie", Suspension()))
    with pytest.raises(NotFoundError):
        small.publish_plan(plan_resumption("movies", 1))


# ── rules and roles ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_rules_are_published_like_the_catalog(press: Press) -> None:
    """With problems they are refused, at their places."""
    press.edit_rule("policies", "eu", '@id("a")\nforbid (principal, action, resource == Feature::"nothing");')
    with pytest.raises(PublishError) as caught:
        press.publish()
    assert [(it.file, it.line) for it in caught.value.problems] == [("rules/eu.cedar", 2)]
    press.edit_rule("policies", "eu", '@id("a")\nforbid (principal, action, resource == Feature::"movies");')
    assert [(it.kind, it.id) for it in press.publish().changes] == [("rule", "policies/eu")]


def test_roles_are_published_like_rules(press: Press) -> None:
    """A table that nobody could mend is refused; a good one is in force with the publication, at the same revision."""
    press.edit_rule(
        "roles", "roles", '@id("a") permit (principal in Role::"admin", action == Action::"view", resource);'
    )
    with pytest.raises(PublishError) as caught:
        press.publish()
    assert [it.code for it in caught.value.problems] == ["lock-out"]
    text = '@id("a")\npermit (principal in Role::"admin", action, resource);\n'
    press.edit_rule("roles", "roles", text)
    before = press.store.read(lambda unit: unit.published.revision)
    outcome = press.publish()
    assert (outcome.is_new, outcome.revision) == (True, before)
    row = press.store.read(lambda unit: publication(unit.session, outcome.sequence))
    assert press.store.read(lambda unit: unit.blob(row.roles)) == text.encode()


# ── rolling back ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_rollback_is_a_new_publication_of_an_old_revision(press: Press) -> None:
    """It says of which one; versions keep their numbers, and what was undone is not published again unasked."""
    first = press.store.read(lambda unit: unit.published.revision)
    press.draft("gold", BETTER)
    press.edit_features(Feature(id="analytics", type=FeatureType.SWITCH, name="Analytics"))
    press.publish()
    outcome = press.publish_plan(plan_rollback(1))
    assert (outcome.sequence, outcome.revision) == (3, first)
    assert press.store.read(lambda unit: publication(unit.session, 3)).rolled_back_to == 1
    assert not press.publish().is_new
    press.draft("gold", {"movies": Amount(1)})
    press.publish()
    assert press.versions("gold") == [3]


def test_a_rollback_leaves_what_was_not_published(small: Press) -> None:
    """Edits that were pending stay pending."""
    small.draft("gold", BETTER)
    small.publish()
    small.edit_features(Feature(id="analytics", type=FeatureType.SWITCH, name="Analytics"))
    small.publish_plan(plan_rollback(1))
    assert [(it.kind, it.id) for it in small.publish().changes] == [("feature", "analytics")]


def test_a_rollback_brings_back_what_was_removed(small: Press) -> None:
    """Items, features and rules, in the working state too; so nothing is pending afterwards."""
    rule = '@id("a")\nforbid (principal, action, resource == Feature::"movies");\n'
    small.edit_rule("policies", "eu", rule)
    small.publish()
    small.apply(CATALOG[: CATALOG.index("  - {id: extra")], Rules(), prune=True)
    assert ("extra" in small.catalog.items, small.rows()["policy_file"]) == (False, [])
    small.publish_plan(plan_rollback(2))
    assert (small.versions("extra"), small.item("extra").newest) == ([1], 1)
    assert small.store.read(small.publisher.published_state).rules.policies == {"eu": rule}
    assert not small.publish().is_new


def test_a_rollback_takes_nothing_from_subscriptions(press: Press) -> None:
    """What they hold and the past did not have refuses it; a version that one is pinned to comes along."""
    press.draft("gold", BETTER)
    press.publish()
    press.hold("acme", SubscriptionItem("gold", version=2))
    press.publish_plan(plan_rollback(1))
    assert (press.catalog.items["gold"].rollouts, press.versions("gold")) == ((Rollout(1),), [1, 2])
    press.apply(CATALOG + "  - {id: team, kind: plan, entitlements: {}}\n")
    press.hold("globex", "team")
    with pytest.raises(PublishError, match="the subscription `sub-globex`"):
        press.publish_plan(plan_rollback(1))


def test_a_rollback_keeps_what_was_sold_to_one_customer(press: Press) -> None:
    """Held or not; but for what nobody holds and gives a feature that goes."""
    private = "kind: plan, private_to: acme, entitlements: {"
    press.apply(f"{CATALOG}  - {{id: deal, {private}movies: 30}}}}\n  - {{id: offer, {private}movies: 20}}}}\n")
    press.hold("acme", "deal")
    late = CATALOG.replace("items:", "  - {id: late, type: switch}\nitems:", 1)
    press.apply(f"{late}  - {{id: never, {private}late: true}}}}\n")
    press.publish_plan(plan_rollback(1))
    assert (press.versions("deal"), press.versions("offer")) == ([1], [1])
    assert "never" not in press.catalog.items
    assert press.item("deal").rollouts == (Rollout(1),)


def test_a_rollback_goes_to_a_past_publication(small: Press) -> None:
    """Neither to the one in force nor to one that never was."""
    with pytest.raises(ConflictError):
        small.publish_plan(plan_rollback(1))
    with pytest.raises(NotFoundError):
        small.publish_plan(plan_rollback(2))


# ── races and keys ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_edit_in_between_is_planned_again(press: Press) -> None:
    """What is published is the draft as it stands when it is put in force."""
    press.draft("gold", BETTER)
    late: dict[str, Value] = {"movies": Amount(99)}
    edited: list[int] = []

    def racing(work: object) -> object:
        if not edited:
            edited.append(1)
            press.draft("gold", late)
        return press.store.change(work, SYSTEM)  # type: ignore[arg-type]

    press.publisher.publish(plan_pending_edits(), racing)
    assert press.catalog.items["gold"].versions[-1].entitlements == late
    assert press.versions("gold") == [2]


def test_publishers_on_one_store_publish_one_after_the_other(press: Press, store_url: str) -> None:
    """Each edit is published once, in an unbroken row of publications."""
    failures: list[BaseException] = []

    def one(id_: str) -> None:
        try:
            with opened(store_url) as own:
                for number in range(3):
                    own.draft(id_, {"movies": Amount(100 + number)})
                    own.publish(EditSelection(NONE, frozenset({id_}), NONE, roles=False))
        except BaseException as error:  # noqa: BLE001 - told by the test
            failures.append(error)

    threads = [threading.Thread(target=one, args=(id_,)) for id_ in ("free", "gold")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert (press.sequence, press.versions("free"), press.versions("gold")) == (7, [4], [4])


def test_the_first_key_signs(sqlite_url: str) -> None:
    """The others are known."""
    one, other = SigningKey.generate(), SigningKey.generate()
    with opened(sqlite_url) as found:
        press = Press(found.store, one, other)
        press.apply()
        row = press.rows()["publication"][0]
    envelope = next(it for it in row if isinstance(it, bytes))
    assert verify_publication(TrustedFeed([one.verify_key]), envelope).sequence == 1
    assert press.publisher.signer.verify_keys == (one.verify_key, other.verify_key)
