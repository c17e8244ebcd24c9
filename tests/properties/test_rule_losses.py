"""What rules take from customers: whoever is denied a check of a grid that was allowed is said to lose something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.properties.choices import Choices, Seeded
from tests.properties.test_rule_differences import ACTIONS, NOW, RECORDS, checks_of, decided, metered, pair, world
from tiergate.impact.preview.preview import ImpactPreview
from tiergate.impact.preview.subject_effects import Effect, Impact
from tiergate.model import FOREVER, Check, Status, Subject

if TYPE_CHECKING:
    from tiergate.engine import Evaluator
    from tiergate.impact.preview.subject_effects import SubjectEffect
    from tiergate.model import SubjectRecord

CHECKS = 60


def expect_shown(one: SubjectEffect, engines: tuple[Evaluator, Evaluator], record: SubjectRecord) -> None:
    """The check that shows an effect is decided as it says."""
    shown = one.shown_by
    if shown is None:
        return
    subject = Subject(one.subject.id, one.subject.type, shown.user)
    check = Check(subject, one.feature, shown.amount, shown.used, shown.user_used, shown.value, shown.level)
    resets_at = FOREVER if shown.resets_at is None else shown.resets_at
    status = Status(shown.status or Status.OPERATIONAL)
    before, after = decided(engines, record, check, shown.at, resets_at, status)
    assert before[0] is shown.before[0]
    assert after[0] is shown.after[0]
    assert one.since >= NOW
    if one.effect.reduces:
        assert before[0]
        assert not after[0]


def expect_told(
    effects: list[SubjectEffect],
    engines: tuple[Evaluator, Evaluator],
    record: SubjectRecord,
    choose: Choices,
    feature: str,
) -> None:
    """Whatever is taken or given in the grid is told."""
    told = {it.effect for it in effects if it.feature == feature}
    for check, at in checks_of(record, choose, feature, CHECKS):
        before, after = decided(engines, record, check, at)
        if before[0] and not after[0]:
            assert any(it.reduces for it in told), (check, at, before, after)
        elif after[0] and not before[0]:
            assert told & {Effect.GAINS, Effect.MORE, Effect.OTHER, Effect.UNPROVED}, (check, at, before, after)


@settings(max_examples=settings().max_examples // 2)
@given(st.integers(0, 2**32))
def test_whoever_is_denied_what_was_allowed_is_told(seed: int) -> None:
    """By whatever number, tag, user or day; and what is told is shown by a check."""
    choose = Seeded(seed)
    old, new = pair(choose)
    worlds = world(old), world(new)
    engines = metered(worlds[0]), metered(worlds[1])
    preview, impact = ImpactPreview(worlds[0].bundle, worlds[1].bundle, now=NOW), Impact()
    features = [it for it in ACTIONS if f'"{it}"' in old + new]
    for _ in range(8):
        record = choose.one(RECORDS)
        effects = preview.effects(record)
        impact.count(effects)
        for one in effects:
            expect_shown(one, engines, record)
            event(one.effect.value)
        for feature in features:
            expect_told(effects, engines, record, choose, feature)
