from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.ids import OPAQUE, SPELLINGS
from tests.unit.catalog.marked import expect, load, load_people, subjects_problems, unmark
from tiergate.catalog import TotalBounds, load_subjects
from tiergate.errors import SubjectsError
from tiergate.model import (
    UNLIMITED,
    Amount,
    CalendarUnit,
    Catalog,
    Customer,
    Level,
    Override,
    OverrideMode,
    SubjectRecord,
    Subscription,
    SubscriptionItem,
    SubscriptionStatus,
    Suspension,
    Switch,
    Term,
    parse_instant,
)

if TYPE_CHECKING:
    from pathlib import Path

CATALOG = """\
apiVersion: tiergate/v1
features:
  - {id: switch, type: switch}
  - {id: seats, type: quantity, scale: 1, levels: [5, 10]}
  - {id: range, type: range, min: 10, max: 20}
  - {id: support, type: custom, levels: [email, phone]}
items:
  - {id: gold, kind: plan, versions: [{version: 1, entitlements: {}}, {version: 3, entitlements: {seats: 5}}]}
  - {id: silver, kind: plan, entitlements: {}}
  - {id: extra, kind: addon, available_for: [gold], entitlements: {}}
  - {id: deep, kind: addon, depends_on: [extra], entitlements: {}}
  - {id: solo, kind: addon, excludes: [silver], entitlements: {}}
"""

INSTANT = "2026-11-01T00:00:00Z"


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """A catalog with an item for every rule on what can be held."""
    return load(tmp_path, CATALOG)


def customer(rest: str) -> str:
    """Subjects of one customer."""
    return f"apiVersion: tiergate/v1\ncustomers:\n  - {{id: acme{rest}}}\n"


def subscription(rest: str, status: str = "active") -> str:
    """Subjects of one subscription."""
    return customer("") + f"subscriptions:\n  - {{id: s, customer: acme, status: {status}, {rest}}}\n"


def holding(items: str) -> str:
    """Subjects of one subscription that holds this."""
    return subscription(f"items: {items}")


def test_everything_that_the_format_names_arrives_in_the_model(catalog: Catalog, tmp_path: Path) -> None:
    """Each key of customers, subscriptions, held items, overrides and suspensions has its place."""
    text = """\
apiVersion: tiergate/v1
customers:
  - id: acme
    tags: [vip, eu]
    attributes: {size: "100", region: eu}
    overrides:
      - {id: o, feature: switch, value: false, from: 2026-11-01T00:00:00Z, author: ann, reason: "a\\nb"}
      - {feature: seats, mode: at_least, value: 99.5}
      - {feature: seats, mode: disabled}
      - {feature: range, value: 5000}
      - {feature: range, value: unlimited}
      - {feature: support, value: phone}
    suspensions: [{feature: switch, until: 2026-11-01T00:00:00Z, reason: abuse}]
subscriptions:
  - id: s
    customer: acme
    status: trialing
    start: 2026-10-01
    end: 2027-10-01
    trial_end: 2026-11-01T00:00:00Z
    grace_until: 2027-11-01T00:00:00+01:00
    resume_at: 2026-12-01T00:00:00.1239Z
    items:
      - {item: gold, quantity: 2, version: 1, added_at: 2026-10-02, from: 2026-10-03, until: 2026-10-04}
      - {item: solo}
    overrides: [{feature: switch, value: true}]
    suspensions: [{feature: seats}]
"""
    at = parse_instant(INSTANT)
    assert load_people(tmp_path, catalog, text) == {
        "acme": SubjectRecord(
            Customer(
                "acme",
                ("eu", "vip"),
                {"region": "eu", "size": "100"},
                (
                    Override(
                        "o", "switch", OverrideMode.REPLACE, Switch(on=False), start=at, author="ann", reason="a\nb"
                    ),
                    Override("seats-1", "seats", OverrideMode.AT_LEAST, Amount(995)),
                    Override("seats-2", "seats", OverrideMode.DISABLED, None),
                    Override("range-1", "range", OverrideMode.REPLACE, Amount(5000)),
                    Override("range-2", "range", OverrideMode.REPLACE, UNLIMITED),
                    Override("support-1", "support", OverrideMode.REPLACE, Level("phone")),
                ),
                (Suspension("switch", until=at, reason="abuse"),),
            ),
            (
                Subscription(
                    "s",
                    "acme",
                    SubscriptionStatus.TRIALING,
                    (
                        SubscriptionItem(
                            "gold",
                            2,
                            1,
                            parse_instant("2026-10-02"),
                            parse_instant("2026-10-03"),
                            parse_instant("2026-10-04"),
                        ),
                        SubscriptionItem("solo"),
                    ),
                    parse_instant("2026-10-01"),
                    parse_instant("2027-10-01"),
                    at,
                    parse_instant("2027-10-31T23:00:00Z"),
                    parse_instant("2026-12-01T00:00:00.123Z"),
                    (Override("switch-1", "switch", OverrideMode.REPLACE, Switch(on=True)),),
                    (Suspension("seats"),),
                ),
            ),
        ),
    }


def test_what_stands_for_people_arrives_in_the_model(catalog: Catalog, tmp_path: Path) -> None:
    """Names, metadata and ids in other systems are kept, sorted by key."""
    text = """\
apiVersion: tiergate/v1
customers:
  - {id: acme, name: Acme AG, metadata: {b: "2", a b: "1\\n2"}, external_ids: {stripe: "cus 1", crm: "é|7"}}
subscriptions:
  - {id: s, customer: acme, status: active, items: [], metadata: {k: v}, external_ids: {stripe: sub_1}}
"""
    record = load_people(tmp_path, catalog, text)["acme"]
    assert record.customer.name == "Acme AG"
    assert list(record.customer.metadata.items()) == [("a b", "1\n2"), ("b", "2")]
    assert list(record.customer.external_ids.items()) == [("crm", "é|7"), ("stripe", "cus 1")]
    assert record.subscriptions[0].metadata == {"k": "v"}
    assert record.subscriptions[0].external_ids == {"stripe": "sub_1"}


def test_an_override_may_add_to_a_number(catalog: Catalog, tmp_path: Path) -> None:
    """A quantity or a range is raised by a positive number, which no level and no maximum binds."""
    text = customer(", overrides: [{feature: seats, mode: add, value: 0.7}, {feature: range, mode: add, value: 1000}]")
    assert load_people(tmp_path, catalog, text)["acme"].customer.overrides == (
        Override("seats-1", "seats", OverrideMode.ADD, Amount(7)),
        Override("range-1", "range", OverrideMode.ADD, Amount(1000)),
    )


@pytest.mark.parametrize(
    ("written", "term"),
    [
        ("{every: month}", Term(CalendarUnit.MONTH, 1, parse_instant("2026-01-31"))),
        ("{every: {every: 1, of: year}}", Term(CalendarUnit.YEAR, 1, parse_instant("2026-01-31"))),
        (
            "{every: {every: 3, of: month}, anchor: 2026-02-28}",
            Term(CalendarUnit.MONTH, 3, parse_instant("2026-02-28")),
        ),
    ],
)
def test_a_term_is_anchored_at_the_start_unless_it_says_otherwise(
    written: str, term: Term, catalog: Catalog, tmp_path: Path
) -> None:
    """A term is a unit of time, or so many of one, from an anchor."""
    text = subscription(f"items: [], start: 2026-01-31, term: {written}")
    assert load_people(tmp_path, catalog, text)["acme"].subscriptions[0].term == term


def test_a_paused_subscription_names_the_status_that_it_returns_to(catalog: Catalog, tmp_path: Path) -> None:
    """What that status needs stands beside it."""
    text = subscription("items: [], resumes_as: trialing, trial_end: 2026-12-01, resume_at: 2026-11-01", "paused")
    found = load_people(tmp_path, catalog, text)["acme"].subscriptions[0]
    assert found.resumes_as is SubscriptionStatus.TRIALING
    assert (found.live_interval().start, found.live_interval().until) == (
        parse_instant("2026-11-01"),
        parse_instant("2026-12-01"),
    )


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("^", "empty-file"),
        ("^[]", "wrong-type"),
        ("^customers: []\n", "missing-key"),
        ("apiVersion: ^tiergate/v9\n", "unknown-api-version"),
        ("apiVersion: tiergate/v1\n^customer: []\n", "unknown-key"),
        ("apiVersion: tiergate/v1\ncustomers: ^{acme: {}}\n", "wrong-type"),
        (customer("^").replace("id: acme^", "^nam: acme").replace("{^", "^{^"), "missing-key unknown-key"),
        (customer(", name: ^7"), "wrong-type"),
        (customer(", metadata: ^[a]"), "wrong-type"),
        (customer(", metadata: {a: ^7}"), "wrong-type"),
        (customer(", metadata: {^'': text}"), "empty-text"),
        (customer(", metadata: {^" + "k" * 101 + ": text}"), "too-long"),
        (customer(", metadata: {a: ^" + "v" * 1001 + "}"), "too-long"),
        (customer(", metadata: ^{" + ", ".join(f"k{n}: v" for n in range(51)) + "}"), "too-many"),
        (customer(", external_ids: {^a b: x}"), "bad-id"),
        (customer(", external_ids: {stripe: ^' x'}"), "bad-id"),
        (customer(", external_ids: {stripe: ^" + "x" * 257 + "}"), "too-long"),
        (subscription("items: [], ^resumes_as: active"), "key-conflict"),
        (subscription("items: [], resumes_as: ^paused", "paused"), "unknown-word"),
        (subscription("items: [], resumes_as: ^expired", "paused"), "unknown-word"),
        (subscription("items: [], resumes_as: trialing", "paused").replace("{id: s", "^{id: s"), "missing-date"),
        (subscription("items: [], resumes_as: canceled", "paused").replace("{id: s", "^{id: s"), "missing-date"),
        (subscription("items: [], term: ^month"), "wrong-type"),
        (subscription("items: [], term: ^{anchor: 2026-01-31}"), "missing-key"),
        (subscription("items: [], term: ^{every: month}"), "missing-key"),
        (subscription("items: [], start: 2026-01-31, term: {every: ^fortnight}"), "unknown-word"),
        (subscription("items: [], start: 2026-01-31, term: {every: {every: ^0, of: day}}"), "bad-number"),
        (subscription("items: [], start: 2026-01-31, term: {every: ^{every: 2}}"), "missing-key"),
        (customer(", overrides: [{feature: seats, mode: add, value: ^0}]"), "unfit-value"),
        (customer(", overrides: [{feature: seats, mode: add, value: ^unlimited}]"), "unfit-value"),
        (customer(", overrides: [{feature: seats, mode: add, value: ^{add: 3}}]"), "unfit-value"),
        (customer(", overrides: [{feature: seats, mode: add, value: ^-1}]"), "bad-number"),
        (customer(", overrides: [^{feature: seats, mode: add}]"), "missing-key"),
        (customer(", overrides: [{feature: switch, mode: add, value: ^true}]"), "mode-not-for-type"),
        (customer(", overrides: [{feature: support, mode: add, value: ^1}]"), "mode-not-for-type"),
        (customer("").replace("acme", "^' a'"), "bad-id"),
        (customer("").replace("acme", "^ext:crm:7"), "bad-id"),
        (customer(", tags: [^a b, c, ^c]"), "bad-id duplicate-entry"),
        (customer(", name: ^' '"), "empty-text"),
        (customer(", metadata: {a: ^x\u202ey}"), "bad-character"),
        (customer(", tags: ^[" + ", ".join(f"t{n}" for n in range(101)) + "]"), "too-many"),
        (customer(", attributes: ^[]"), "wrong-type"),
        (customer(", attributes: {size: ^100, ^'': a, b: ^true, c: ^''}"), "wrong-type bad-id wrong-type empty-text"),
        (customer(", overrides: [^{value: true}]"), "missing-key"),
        (customer(", overrides: [^{feature: switch}]"), "missing-key"),
        (customer(", overrides: [{feature: ^swich, value: true}]"), "unknown-feature"),
        (customer(", overrides: [{feature: ^7, value: true}]"), "wrong-type"),
        (customer(", overrides: [{feature: switch, value: ^1}]"), "unfit-value"),
        (customer(", overrides: [{feature: switch, value: ^null}]"), "unfit-value"),
        (customer(", overrides: [{feature: seats, value: ^true}]"), "unfit-value"),
        (customer(", overrides: [{feature: seats, value: ^0.25}]"), "bad-number"),
        (customer(", overrides: [{feature: seats, value: ^-1}]"), "bad-number"),
        (customer(", overrides: [{feature: seats, value: ^{add: 1}}]"), "wrong-type"),
        (customer(", overrides: [{feature: seats, value: ^{value: 1}}]"), "wrong-type"),
        (customer(", overrides: [{feature: support, value: ^fax}]"), "unknown-level"),
        (customer(", overrides: [{feature: switch, mode: ^remove, value: true}]"), "unknown-word"),
        (customer(", overrides: [{feature: switch, mode: disabled, value: ^true}]"), "key-conflict"),
        (customer(", overrides: [{feature: switch, value: true, from: ^now}]"), "bad-instant"),
        (customer(", overrides: [{feature: seats, value: 1, from: 2026-11-02, until: ^2026-11-01}]"), "empty-period"),
        (customer(", overrides: [{feature: switch, value: true, ^start: 2026-11-02}]"), "unknown-key"),
        (
            customer(", overrides: [{id: o, feature: range, value: 1}, ^{id: o, feature: seats, value: 1}]"),
            "duplicate-id",
        ),
        (
            customer(", overrides: [{id: seats-2, feature: seats, value: 1}, ^{feature: seats, value: 2}]"),
            "duplicate-id",
        ),
        (customer(", suspensions: [^{from: 2026-11-01}]"), "missing-key"),
        (customer(", suspensions: [{feature: ^none}]"), "unknown-feature"),
        (subscription("items: []").replace("{id: s, c", "^{c"), "missing-key"),
        (subscription("items: []").replace(" {id: s, customer: acme,", " ^{id: s,"), "missing-key"),
        (subscription("").replace("{id: s", "^{id: s"), "missing-key"),
        (subscription("items: []", "^ended"), "unknown-word"),
        (subscription("items: []").replace("customer: acme", "customer: ^other"), "unknown-customer"),
        (
            subscription("items: []", "^ended").replace("customer: acme", "customer: ^other"),
            "unknown-customer unknown-word",
        ),
        (subscription("items: [], ^ends: 2027-01-01"), "unknown-key"),
        (subscription("items: []", "trialing").replace("{id: s", "^{id: s"), "missing-date"),
        (subscription("items: []", "canceled").replace("{id: s", "^{id: s"), "missing-date"),
        (subscription("items: [], trial_end: ^soon", "trialing"), "bad-instant"),
        (subscription("items: [], start: 2026-11-02, end: ^2026-11-01"), "empty-period"),
        (subscription("items: [], start: 2026-11-02, trial_end: ^2026-11-01"), "empty-period"),
        (subscription("items: [], start: 2026-11-02, grace_until: ^2026-11-01"), "empty-period"),
        (holding("^{}"), "wrong-type"),
        (holding("[^gold]"), "wrong-type"),
        (holding("[^{quantity: 1}]"), "missing-key"),
        (holding("[{item: ^gld}]"), "unknown-item"),
        (holding("[{item: ^plan/gold}]"), "bad-id"),
        (holding("[{item: gold, quantity: ^0}]"), "bad-number"),
        (holding("[{item: gold, quantity: ^-1}]"), "bad-number"),
        (holding("[{item: gold, quantity: ^1.5}]"), "wrong-type"),
        (holding("[{item: gold, quantity: ^true}]"), "wrong-type"),
        (holding("[{item: gold, quantity: ^1000000000000001}]"), "bad-number"),
        (holding("[{item: gold, from: 2026-11-02, until: ^2026-11-01}]"), "empty-period"),
        (holding("[^{item: gold, version: 2}]"), "unknown-version"),
        (holding("[{item: gold, version: ^0}]"), "bad-number"),
        (holding("[^{item: extra}]"), "not-available"),
        (holding("[{item: silver}, ^{item: extra}]"), "not-available"),
        (holding("[{item: gold, until: 2026-11-01}, ^{item: extra, from: 2026-11-01}]"), "not-available"),
        (holding("[{item: gold}, ^{item: deep}]"), "missing-dependency"),
        (holding("[{item: gold}, ^{item: silver}]"), "several-plans"),
        (holding("[{item: gold}, ^{item: gold}]"), "several-plans"),
        (holding("[{item: gold, until: 2026-11-02}, ^{item: silver, from: 2026-11-01}]"), "several-plans"),
        (
            holding("[{item: gold}, ^{item: silver, from: 2026-11-01}, ^{item: silver, until: 2026-11-01}]"),
            "several-plans several-plans",
        ),
        (holding("[{item: silver}, ^{item: solo}]"), "excluded"),
        (holding("[{item: solo}, ^{item: silver}]"), "excluded"),
        (holding("[{item: solo, until: 2026-11-02}, ^{item: silver, from: 2026-11-01}]"), "excluded"),
        (subscription("items: []") + "  - {id: ^s, customer: acme, status: active, items: []}\n", "duplicate-id"),
        (customer("") + "  - {id: ^acme}\n", "duplicate-id"),
        (customer("") + "  - {id: ^acme, tags: ^7}\n", "duplicate-id wrong-type"),
    ],
)
def test_a_mistake_in_subjects_is_reported_at_its_place(
    text: str, codes: str, catalog: Catalog, tmp_path: Path
) -> None:
    """Each mistake is named once, where it stands."""
    clean, marks = unmark(text)
    expect(subjects_problems(tmp_path, catalog, clean), marks, codes)


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: tiergate/v1\n",
        holding("[]"),
        holding("[{item: gold}, {item: extra}, {item: extra, quantity: 1000000000000000}]"),
        holding(
            "[{item: gold, until: 2026-11-01}, {item: silver, from: 2026-11-01},"
            " {item: gold, from: 2020-01-01, until: 2020-01-01}]"
        ),
        holding("[{item: gold}, {item: extra}, {item: deep}]"),
        holding("[{item: deep}, {item: extra}, {item: gold}]"),
        holding("[{item: gold, until: 2026-11-02}, {item: extra, from: 2026-11-01}]"),
        holding("[{item: solo, until: 2026-11-01}, {item: silver, from: 2026-11-01}]"),
        holding("[{item: gold, from: 2026-11-01, until: 2026-11-01}]"),
        subscription("items: [], start: 2026-11-01, end: 2026-11-01", "canceled"),
        subscription("items: []", "past_due"),
        subscription("items: []", "paused"),
        subscription("items: []", "expired"),
    ],
)
def test_what_can_be_is_accepted(text: str, catalog: Catalog, tmp_path: Path) -> None:
    """Nothing at all, an item twice, needs met at some instant, what excludes each other one after the other."""
    load_people(tmp_path, catalog, text)


def test_a_catalog_may_allow_many_plans(tmp_path: Path) -> None:
    """Where it says so, two of them, or one twice, may be held at an instant."""
    many = load(tmp_path, CATALOG + "plans: many\n")
    load_people(tmp_path, many, holding("[{item: gold}, {item: gold}, {item: silver}]"))


def test_an_id_in_two_files_names_both(catalog: Catalog, tmp_path: Path) -> None:
    """The second place is the problem, the first is in its message."""
    one, other = tmp_path / "a.yaml", tmp_path / "b.ndjson"
    one.write_text(customer(""))
    other.write_text('{"type": "customer", "id": "acme"}\n')
    with pytest.raises(SubjectsError) as caught:
        load_subjects([one, other], catalog.index(), TotalBounds.of(catalog))
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.column) == (str(other), 1, 28)
    assert problem.message == f"the customer `acme` exists already, in {one}, line 3"


def test_a_subscription_and_its_customer_may_stand_in_two_files(catalog: Catalog, tmp_path: Path) -> None:
    """A folder means all its subjects files together."""
    folder = tmp_path / "subjects"
    folder.mkdir()
    (folder / "b.yaml").write_text(customer(""))
    (folder / "a.jsonl").write_text(
        '{"type": "subscription", "id": "s", "customer": "acme", "status": "active", "items": []}\n'
    )
    people = load_subjects([folder], catalog.index(), TotalBounds.of(catalog))
    assert [held.id for held in people["acme"].subscriptions] == ["s"]


def test_no_paths_are_a_problem(catalog: Catalog) -> None:
    """Subjects of no files are no subjects."""
    with pytest.raises(SubjectsError) as caught:
        load_subjects([], catalog.index(), TotalBounds.of(catalog))
    assert [problem.code for problem in caught.value.problems] == ["no-files"]


@pytest.mark.parametrize("name", ["s.yaml", "s.ndjson"])
def test_a_file_that_does_not_exist_is_a_problem(name: str, catalog: Catalog, tmp_path: Path) -> None:
    """Its path is named, without a line."""
    with pytest.raises(SubjectsError) as caught:
        load_subjects([tmp_path / name], catalog.index(), TotalBounds.of(catalog))
    (problem,) = caught.value.problems
    assert str(problem) == f"{tmp_path / name}: error: cannot be read: no such file or directory [unreadable-file]"


def test_a_customer_and_a_subscription_may_share_an_id(catalog: Catalog, tmp_path: Path) -> None:
    """Ids are unique among their own kind."""
    people = load_people(tmp_path, catalog, subscription("items: []").replace("id: s", "id: acme"))
    assert people["acme"].subscriptions[0].id == "acme"


def test_no_customer_is_called_missing_that_an_unreadable_file_may_hold(catalog: Catalog, tmp_path: Path) -> None:
    """A broken file is the one problem, not every subscription of a customer in it."""
    one, other = tmp_path / "a.ndjson", tmp_path / "b.yaml"
    one.write_text('{"type": "subscription", "id": "s", "customer": "acme", "status": "active", "items": []}\n')
    other.write_text(customer(", tags: [")[:-2])
    with pytest.raises(SubjectsError) as caught:
        load_subjects([one, other], catalog.index(), TotalBounds.of(catalog))
    assert [problem.code for problem in caught.value.problems] == ["bad-yaml"]


def test_a_customer_with_a_mistake_is_not_missing(catalog: Catalog, tmp_path: Path) -> None:
    """Its subscription is not blamed for it."""
    text, marks = unmark(subscription("items: []").replace("{id: acme}", "{id: acme, ^tag: x}"))
    expect(subjects_problems(tmp_path, catalog, text), marks, "unknown-key")


def _written(form: str, customer: str, subscription: str) -> str:
    """A customer and its subscription as a file of a form."""
    held = {"id": subscription, "customer": customer, "status": "active", "items": [{"item": "gold"}]}
    one: dict[str, object] = {"id": customer}
    if form == "s.ndjson":
        lines = [{"type": "subscription"} | held, {"type": "customer"} | one]
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    whole = {"apiVersion": "tiergate/v1", "customers": [one], "subscriptions": [held]}
    return json.dumps(whole, ensure_ascii=form == "escaped.json")


@pytest.mark.parametrize("form", ["s.yaml", "s.json", "escaped.json", "s.ndjson"])
@pytest.mark.parametrize("id_", OPAQUE)
def test_customers_and_subscriptions_have_ids_of_other_systems(
    id_: str, form: str, catalog: Catalog, tmp_path: Path
) -> None:
    """Whatever the file's form, they are what they were there."""
    people = load_people(tmp_path, catalog, _written(form, id_, id_), form)
    assert list(people) == [id_]
    assert [one.id for one in people[id_].subscriptions] == [id_]


@pytest.mark.parametrize("form", ["s.yaml", "s.json", "escaped.json", "s.ndjson"])
@pytest.mark.parametrize(("id_", "spelling"), SPELLINGS)
def test_another_spelling_names_the_same_customer(
    id_: str, spelling: str, form: str, catalog: Catalog, tmp_path: Path
) -> None:
    """A subscription finds its customer, and a second customer of the id is one too many."""
    text = _written(form, spelling, spelling)
    first, last = text.rsplit(spelling if form != "escaped.json" else json.dumps(spelling)[1:-1], 1)
    people = load_people(tmp_path, catalog, f"{first}{id_}{last}", form)
    assert [one.customer for one in people[id_].subscriptions] == [id_]


@pytest.mark.parametrize("form", ["s.yaml", "s.ndjson"])
def test_two_spellings_of_an_id_are_a_duplicate(form: str, catalog: Catalog, tmp_path: Path) -> None:
    """They look the same, and are the same."""
    (id_, spelling), *_ = SPELLINGS
    if form == "s.ndjson":
        lines = [json.dumps({"type": "customer", "id": one}, ensure_ascii=False) for one in (id_, spelling)]
        text = "\n".join(lines)
    else:
        text = f"apiVersion: tiergate/v1\ncustomers: [{{id: {id_}}}, {{id: {spelling}}}]\n"
    (problem,) = subjects_problems(tmp_path, catalog, text, form)
    assert problem.code == "duplicate-id"
