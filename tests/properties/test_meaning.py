"""Differences in meaning: a refactoring has none, and whatever the reference model tells apart is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.example_counts import part_of_examples
from tests.properties.alterations import altered, refactored
from tests.properties.documents import Document, metered_worlds
from tests.properties.engines import World, check_of
from tests.properties.inquiries import Inquirer
from tests.properties.rules import rule_files
from tests.reference.entitlement import Catalogue, boundaries, decide
from tiergate.cedar import split_policies, with_id
from tiergate.impact.diff.diff_result import ChangeDirection
from tiergate.impact.diff.representative_subjects import HoldingPattern
from tiergate.impact.diff.semantic_diff import compare_bundles
from tiergate.impact.preview.affected_scope import find_affected_scope
from tiergate.model import format_instant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.bundle import Bundle
    from tiergate.impact.diff.diff_result import EntitlementDifference

SEEDS = st.integers(0, 2**32)
NOBODY: Document = {"apiVersion": "tiergate/v1", "customers": [], "subscriptions": []}
BEFORE = 1_700_000_000_000
fewer = settings(max_examples=part_of_examples(6))


def bundle(catalog: Document, rules: dict[str, str] | None = None) -> Bundle:
    """A catalog, with rules, as a bundle."""
    return World(catalog, NOBODY, rules).bundle


def differing(old: Document, new: Document, known: Document, seed: int, now: int) -> Iterator[tuple[int, Document]]:
    """Random checks from `now` on that the reference model answers otherwise on the two catalogs."""
    before, after = Inquirer(old, known, seed), Catalogue(new, known)
    before.marks = sorted({it for it in boundaries(old, new, known) if it >= now} | {now})
    for at, check in before.asks(nows=8, checks=25):
        if at >= now and said(before.reference, check, at) != said(after, check, at):
            yield at, check


def said(world: Catalogue, check: Document, now: int) -> Any:  # noqa: ANN401 - what counts of an answer
    """What counts of the reference model's answer, also where the check is a mistake."""
    of = world.features.get(check["feature"])
    if of is None or ("level" in check and check["level"] not in of["levels"]):
        return None
    found = decide(world, check, now)
    return found["allowed"], found["reason"], found["entitlement"]


@fewer
@given(st.data())
def test_a_refactoring_means_nothing(data: st.DataObject) -> None:
    """Other names, order, numbers of versions, and ways to write a value give no difference, and that is proved."""
    old, _ = data.draw(metered_worlds())
    new = data.draw(refactored(old))
    found = compare_bundles(bundle(old), bundle(new), data.draw(st.sampled_from([BEFORE, BEFORE + 10**11])))
    assert found.is_same, found
    assert found.cases


@fewer
@given(st.data(), SEEDS)
def test_what_the_reference_model_tells_apart_is_found(data: st.DataObject, seed: int) -> None:
    """Where any check of any subject is answered otherwise, a difference is found."""
    old, known = data.draw(metered_worlds())
    new = data.draw(altered(old))
    now = data.draw(st.sampled_from([BEFORE, 1_770_000_000_000]))
    found = compare_bundles(bundle(old), bundle(new), now)
    witness = next(differing(old, new, known, seed, now), None)
    event("differs" if witness else "found alone" if found.differs else "same")
    if witness is not None:
        assert found.differs, witness


def bearer(difference: EntitlementDifference, now: int) -> Document:
    """Whom a difference is about, as a document of subjects."""
    customer = difference.shown_by.subject
    held: Document = {"item": difference.item, "quantity": 2 if difference.bearing is HoldingPattern.TWO else 1}
    audience = difference.audience
    if audience is not None and audience.pin is not None:
        held["version"] = audience.pin
    if audience is not None and audience.added is not None:
        held["added_at"] = format_instant(audience.added)
    beside = [{"item": it} for it in difference.beside]
    listed = [
        {"id": f"sub-{place}", "customer": customer, "status": "active", "items": [held, *beside]}
        for place in range(2 if difference.bearing is HoldingPattern.TWICE else 1)
    ]
    return {
        "customers": [{"id": customer, "tags": list(difference.shown_by.tags)}],
        "subscriptions": listed,
        "now": now if difference.since is None else difference.since,
    }


def holding(catalog: Document, known: Document, feature: str, *, alone: bool) -> Any:  # noqa: ANN401 - a document's value
    """What the reference model says is held: a value or `unlimited`; none of a feature that there is not.

    `alone`: as if everything that an item requires counted.
    """
    world = Catalogue(catalog, known)
    for id_, of in world.items.items() if alone else ():
        world.items[id_] = {key: of[key] for key in of if key not in {"available_for", "depends_on"}}
    if feature not in world.features:
        return None
    for id_, it in world.subscriptions.items():  # what a catalog does not have gives nothing
        world.subscriptions[id_] = it | {"items": [held for held in it["items"] if held["item"] in world.items]}
    check = {"subject": known["customers"][0]["id"], "feature": feature}
    found = decide(world, check, known["now"])["entitlement"]
    return "unlimited" if found.get("unlimited") else found["value"] or None


@fewer
@given(st.data())
def test_every_difference_is_one_to_the_reference_model(data: st.DataObject) -> None:
    """What is said that a holder had and gets is what the reference model says of it, and so when it is said to end."""
    old, _ = data.draw(metered_worlds())
    new = data.draw(altered(old))
    now = data.draw(st.sampled_from([BEFORE, 1_770_000_000_000]))
    for kind in confirm_differences(old, new, now):
        event(kind)


def confirm_differences(old: Document, new: Document, now: int) -> list[ChangeDirection]:
    """Confirm each difference of two catalogs by the reference model; return what they are.

    A difference with items beside is one of what counts beside them; any other is one of the item alone.
    """
    differences = compare_bundles(bundle(old), bundle(new), now).differences
    for one in differences:
        known, alone = bearer(one, now), not one.beside
        before, after = (holding(catalog, known, one.feature, alone=alone) for catalog in (old, new))
        assert before == ("unlimited" if one.before.unlimited else one.before.value or None), one
        assert after == ("unlimited" if one.after.unlimited else one.after.value or None), one
        assert before != after
        if one.until is not None:
            known["now"] = one.until - 1
            until = tuple(holding(catalog, known, one.feature, alone=alone) for catalog in (old, new))
            assert (before, after) == until, one
    return [one.kind for one in differences]


def test_an_item_ends_with_the_plan_that_no_rollout_gives() -> None:
    """A plan without a rollout counts for nothing, so what is available for it alone is lost."""
    extra: Document = {"id": "extra", "kind": "addon", "entitlements": {"sso": True}, "available_for": ["free"]}
    variants: list[Document] = [{}, {"rollouts": []}]
    old, new = (
        {
            "apiVersion": "tiergate/v1",
            "features": [{"id": "sso", "type": "switch"}],
            "items": [{"id": "free", "kind": "plan", "entitlements": {}} | more, extra],
        }
        for more in variants
    )
    assert set(confirm_differences(old, new, BEFORE)) == {ChangeDirection.LOSES}


@fewer
@given(st.data(), SEEDS)
def test_whoever_is_decided_otherwise_is_touched(data: st.DataObject, seed: int) -> None:
    """Looking alone never leaves out anybody who is allowed something else, or holds more or less."""
    old, known = data.draw(metered_worlds())
    new = data.draw(altered(old))
    now = data.draw(st.sampled_from([BEFORE, 1_770_000_000_000]))
    found = find_affected_scope(bundle(old), bundle(new), now)
    worlds_ = Catalogue(old, known), Catalogue(new, known)
    for at, check in differing(old, new, known, seed, now):
        if allowance(worlds_[0], check, at) != allowance(worlds_[1], check, at):
            event("differs")
            assert check["feature"] in found.features
            assert found.items is None or concerned(known, check, found.items), check


def allowance(world: Catalogue, check: Document, now: int) -> Any:  # noqa: ANN401 - what counts of an answer
    """Whether the reference model allows a check, and how much it says is held; none where the check is a mistake."""
    answer = said(world, check, now)
    return None if answer is None else (answer[0], answer[2].get("value"), answer[2].get("unlimited"))


def concerned(known: Document, check: Document, items: frozenset[str]) -> bool:
    """Say whether the subject of a check holds one of some items, or has an override on the feature."""
    subject = check["subject"] if isinstance(check["subject"], str) else check["subject"]["id"]
    held = [it for it in known["subscriptions"] if subject in {it["customer"], it["id"]}]
    owners = {subject, *(it["customer"] for it in held)}
    overriding = [*held, *(it for it in known["customers"] if it["id"] in owners)]
    return any(line["item"] in items for it in held for line in it["items"]) or any(
        override["feature"] == check["feature"] for it in overriding for override in it.get("overrides", [])
    )


@fewer
@given(st.data())
def test_a_catalog_beside_itself_touches_nothing(data: st.DataObject) -> None:
    """Nothing is touched where nothing changes."""
    old, _ = data.draw(metered_worlds())
    assert find_affected_scope(bundle(old), bundle(old), BEFORE) == (frozenset(), frozenset(), False, ())


# ── Rules ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def law(files: dict[str, str]) -> dict[str, str]:
    """The same rules with other ids, in another order, in one file of another name."""
    pieces = [text for _, file in sorted(files.items(), reverse=True) for _, text in split_policies(file)][::-1]
    return {"all": "\n".join(with_id(text, f"other-{place}") for place, text in enumerate(pieces))}


@fewer
@given(st.data())
def test_rules_that_are_only_put_otherwise_mean_nothing(data: st.DataObject) -> None:
    """Other ids, order and files of rules give no difference, whatever they read."""
    catalog, known = data.draw(metered_worlds())
    rules = data.draw(rule_files(catalog, known))
    found = compare_bundles(bundle(catalog, rules), bundle(catalog, law(rules)), BEFORE)
    assert found.is_same, found


@fewer
@given(st.data(), SEEDS)
def test_what_rules_come_to_is_found_or_said_to_be_unproved(data: st.DataObject, seed: int) -> None:
    """Where any check of any subject is decided otherwise under other rules, or another catalog, it is not the same."""
    old, known = data.draw(metered_worlds())
    rules = data.draw(rule_files(old, known))
    new = data.draw(st.one_of(st.just(old), altered(old)))
    other = data.draw(rule_files(old, known)) if new is old or data.draw(st.booleans()) else rules
    sides = World(old, known, rules), World(new, NOBODY, other)
    now = data.draw(st.sampled_from([BEFORE, 1_770_000_000_000]))
    found = compare_bundles(sides[0].bundle, sides[1].bundle, now)
    may = find_affected_scope(sides[0].bundle, sides[1].bundle, now)
    event("same" if found.is_same else "differs" if found.differs else "unproved")
    engines = [side.engine(records=sides[0].records) for side in sides]
    inquirer = Inquirer(old, known, seed)
    inquirer.marks = sorted({it for it in boundaries(old, new, known) if it >= now} | {now})
    for at, ask in inquirer.asks(nows=5, checks=15):
        if at < now or said(Catalogue(new, known), ask, at) is None:
            continue
        before, after = (engine.decide(check_of(ask), at) for engine in engines)
        if (before.allowed, before.reason) != (after.allowed, after.reason):
            assert not found.is_same, (ask, at, before, after)
        if before.allowed is not after.allowed:
            assert before.feature in may.features, ask
            assert may.items is None or concerned(known, ask, may.items), ask
