from __future__ import annotations

import pytest

from tiergate.model import Subject, SubjectType
from tiergate.sidecar.subject_versions import SubjectVersions

ACME = Subject("acme")
SUB = Subject("sub", SubjectType.SUBSCRIPTION)


@pytest.mark.parametrize("subject", [ACME, SUB])
def test_all_that_rests_on_a_subject_rests_on_one_edition(subject: Subject) -> None:
    """What rests on its users included."""
    editions = SubjectVersions()
    edition = editions.of(subject)

    assert editions.of(subject) is edition
    assert editions.of(Subject(subject.id, subject.type, "ann")) is edition


def test_a_customer_and_a_subscription_of_one_name_are_two_subjects() -> None:
    """Ids are unique only among their own kind."""
    editions = SubjectVersions()

    assert editions.of(Subject("one")) is not editions.of(Subject("one", SubjectType.SUBSCRIPTION))


def test_a_change_outdates_what_rests_on_it_and_nothing_else() -> None:
    """Neither other subjects nor what rests on the next edition."""
    editions = SubjectVersions()
    acme, sub, other = editions.of(ACME), editions.of(SUB), editions.of(Subject("other"))

    editions.outdate("acme", ["sub", "never asked for"])

    assert (acme.is_outdated, sub.is_outdated, other.is_outdated) == (True, True, False)
    assert not editions.of(ACME).is_outdated
    assert not editions.of(SUB).is_outdated


def test_only_what_something_rests_on_is_kept() -> None:
    """However many subjects were asked for, and however often they changed."""
    editions = SubjectVersions()
    kept = editions.of(ACME)
    for number in range(1_000):
        editions.of(Subject(f"customer-{number}"))
        editions.outdate("acme", [])
        kept = editions.of(ACME)

    assert not kept.is_outdated
    assert len(editions) == 1


def test_the_first_that_rests_on_an_edition_weighs_it() -> None:
    """So that what memos believe to hold in memory is what they hold."""
    edition = SubjectVersions().of(ACME)

    assert [edition.claim_weight() > 0 for _ in range(3)] == [True, False, False]
