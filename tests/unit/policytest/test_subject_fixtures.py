from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.policytest.written import HEAD, expect_problems, problems, suite, write
from tiergate.model import Subject, SubjectType, SubscriptionItem
from tiergate.policytest.environments import EntitlementEnvironment
from tiergate.policytest.runner import Runner

if TYPE_CHECKING:
    from pathlib import Path

TESTS = "  - {name: a, subjects: [ada], features: [seats]}\n"


def world(path: Path) -> EntitlementEnvironment:
    """What the suite in a file is decided against."""
    (found,) = Runner().read_suites([path]).environments.values()
    assert isinstance(found, EntitlementEnvironment)
    return found


def test_a_holder_has_one_active_subscription(tmp_path: Path) -> None:
    """The short form stands for a customer and a subscription; its items are written as in a subjects file."""
    head = HEAD + "  gus: [{item: basic, quantity: 2, version: 1, from: 2026-01-01}, extra]\n"
    record = world(write(tmp_path, suite(TESTS, head))).subjects.records["gus"]
    (held,) = record.subscriptions
    assert (record.customer.id, held.id, held.status) == ("gus", "sub-gus", "active")
    assert held.items == (SubscriptionItem("basic", 2, 1, None, 1767225600000), SubscriptionItem("extra"))


def test_subjects_of_files_and_of_the_suite_are_together(tmp_path: Path) -> None:
    """A suite may add a subscription to a customer of a shared file, in YAML or in lines of JSON."""
    write(tmp_path, '{"type": "customer", "id": "shared"}\n', "people/a.ndjson")
    write(tmp_path, "apiVersion: tiergate/v1\ncustomers: [{id: other}]\n", "people/b.yaml")
    head = HEAD + (
        "subjects: [people]\n"
        "subscriptions: [{id: s1, customer: shared, status: active, items: [{item: basic}]}]\n"
        "customers: [{id: own}]\n"
    )
    subjects = world(write(tmp_path, suite(TESTS, head))).subjects
    assert set(subjects.records) == {"ada", "bob", "eve", "fay", "own", "other", "shared"}
    record = subjects.find(Subject("s1", SubjectType.SUBSCRIPTION))
    assert record is subjects.records["shared"]
    assert subjects.find(Subject("s2", SubjectType.SUBSCRIPTION)) is None
    assert subjects.find(Subject("s1")) is None


@pytest.mark.parametrize(
    ("more", "codes"),
    [
        ("  ^' a': [basic]\n", ["bad-id"]),
        ("  gus: [^basics]\n", ["unknown-item"]),
        ("  gus: [^{^items: basic}]\n", ["missing-key", "unknown-key"]),
        ("  gus: ^basic\n", ["wrong-type"]),
        ("customers: [{id: ^ada}]\n", ["duplicate-id"]),
        ("customers: [{id: gus}, {id: ^gus}]\n", ["duplicate-id"]),
        ("subscriptions: [{id: x, customer: ^gus, status: active, items: []}]\n", ["unknown-customer"]),
        ("subscriptions: [{id: ^sub-ada, customer: ada, status: active, items: []}]\n", ["duplicate-id"]),
        ("customers: [{id: gus, overrides: [{feature: ^seat, value: 3}]}]\n", ["unknown-feature"]),
        ("customers: ^{id: gus}\n", ["wrong-type"]),
        ("^holder: {}\n", ["unknown-key"]),
    ],
)
def test_a_mistake_in_a_subject_is_named_at_its_place(tmp_path: Path, more: str, codes: list[str]) -> None:
    """Subjects of a suite are held to what those of a subjects file are."""
    expect_problems(tmp_path, suite(TESTS, HEAD + more), *codes)


def test_no_total_may_overflow(tmp_path: Path) -> None:
    """Each subscription is within bounds, both together are not; wherever they stand."""
    head = HEAD.replace(
        "  - {id: free", "  - {id: huge, kind: plan, entitlements: {seats: 999999999999999}}\n  - {id: free"
    )
    more = (
        "  gus: [{item: huge, quantity: 4000}]\n"
        "subscriptions: [{id: s2, customer: gus, status: active, items: [{item: huge, quantity: 4000}]}]\n"
    )
    found = problems(tmp_path, suite(TESTS, head + more))
    assert [problem.code for problem in found] == ["total-too-large"]
    assert "`gus`" in found[0].message


def test_a_problem_of_a_file_is_named_in_that_file(tmp_path: Path) -> None:
    """What a suite shares may be broken too."""
    shared = write(tmp_path, "apiVersion: tiergate/v1\ncustomers: [{id: shared, tag: [eu]}]\n", "shared.yaml")
    (found,) = problems(tmp_path, suite(TESTS, HEAD + "subjects: shared.yaml\n"))
    assert (found.file, found.line, found.column, found.code) == (str(shared), 2, 26, "unknown-key")


def test_a_subject_in_a_file_and_in_the_suite_is_named_in_the_suite(tmp_path: Path) -> None:
    """The problem says where the other one stands."""
    shared = write(tmp_path, "apiVersion: tiergate/v1\ncustomers: [{id: ada}]\n", "shared.yaml")
    (found,) = expect_problems(
        tmp_path, suite(TESTS, HEAD.replace("  ada:", "  ^ada:") + "subjects: shared.yaml\n"), "duplicate-id"
    )
    assert f"{shared}, line 2" in found.message
