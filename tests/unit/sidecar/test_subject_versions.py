from __future__ import annotations

import gc

import pytest

from tiergate.model import Subject, SubjectType
from tiergate.sidecar.subject_versions import ANY_FEATURE, SubjectVersions

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


def test_usage_that_moves_outdates_what_rests_on_it_and_nothing_else() -> None:
    """Not the other answers about the subject, and not those about another feature."""
    versions = SubjectVersions()
    acme, movies, calls = versions.of(ACME), versions.of_usage(ACME, "movies"), versions.of_usage(ACME, "calls")
    everything, other = versions.of_usage(ACME, ANY_FEATURE), versions.of_usage(Subject("other"), "movies")

    versions.outdate_usage("acme", [], ["movies"])

    assert [it.is_outdated for it in (acme, movies, calls, everything, other)] == [False, True, False, True, False]
    assert not versions.of_usage(ACME, "movies").is_outdated


def test_usage_is_that_of_the_subscriptions_it_was_booked_on_too() -> None:
    """And of no others."""
    versions = SubjectVersions()
    booked, other = (versions.of_usage(Subject(name, SubjectType.SUBSCRIPTION), "movies") for name in ("sub", "sub2"))

    versions.outdate_usage("acme", ["sub"], ["movies"])

    assert (booked.is_outdated, other.is_outdated) == (True, False)


def test_a_change_of_the_subject_outdates_what_rests_on_its_usage() -> None:
    """It rests on the subject as well."""
    versions = SubjectVersions()
    usage = versions.of_usage(ACME, "movies")

    versions.outdate("acme", [])

    assert usage.is_outdated


def test_usage_of_everybody_outdates_what_rests_on_it_of_all_subjects() -> None:
    """Where a feature has a cap for everybody together."""
    versions = SubjectVersions()
    both = [versions.of_usage(Subject(name), "movies", everybody=["movies"]) for name in ("acme", "other")]
    free = versions.of_usage(Subject("other"), "calls")

    versions.outdate_usage_of_everybody("movies")

    assert [it.is_outdated for it in (*both, free)] == [True, True, False]
    assert not versions.of_usage(ACME, "movies").is_outdated


def test_a_usage_version_keeps_the_version_of_its_subject() -> None:
    """So that a change of the subject finds it, though nothing else rests on the subject."""
    versions = SubjectVersions()
    usage = versions.of_usage(ACME, "movies")
    gc.collect()

    versions.outdate("acme", [])

    assert usage.is_outdated
    del usage
    gc.collect()
    assert len(versions) == 0
