"""Subjects whose records have problems: set aside one by one, while all others are followed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from tests.unit.sidecar.catalogs import Files, catalog_text
from tiergate.errors import QuarantinedError
from tiergate.model import Problem, Subject, SubjectRecord, SubjectType
from tiergate.sidecar.replica.data_directory import DataDirectory
from tiergate.sidecar.replica.file_source.loader import load
from tiergate.sidecar.replica.file_source.loader_process import LoadJob, LoadResult
from tiergate.sidecar.replica.reader import Replica

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tiergate.sidecar.replica.loaded_state import LoadedState

Line = dict[str, Any] | str

EARLIER = ("earlier", "none")
"""Whether something good stands already."""


def customer(id_: str, **fields: object) -> Line:
    """A line of a customer."""
    return {"type": "customer", "id": id_, **fields}


def subscription(id_: str, customer: str, quantity: object = 1, **fields: object) -> dict[str, Any]:
    """A line of a subscription to gold."""
    return {
        "type": "subscription",
        "id": id_,
        "customer": customer,
        "status": "active",
        "items": [{"item": "gold", "quantity": quantity}],
        **fields,
    }


GOOD: tuple[Line, ...] = (
    customer("acme"),
    subscription("s-acme", "acme", 2),
    customer("beta"),
    subscription("s-beta", "beta", 2),
    customer("corp"),
    subscription("s-corp", "corp", 2),
)
CHANGED: tuple[Line, ...] = (customer("corp"), subscription("s-corp", "corp", 3))
"""Somebody else, who is followed in every case."""


class Work:
    """Files, and what loading them has come to so far."""

    def __init__(self, folder: Path) -> None:
        self.files = Files(folder / "files")
        self.files.subjects.unlink()
        self.files.subjects = self.files.folder / "subjects.ndjson"
        self.data = DataDirectory.open(folder / "data")
        self.state: LoadedState | None = None

    def write(self, *lines: Line) -> None:
        """Put lines in the place of the subjects."""
        head = {"apiVersion": "tiergate/v1"}
        texts = [line if isinstance(line, str) else json.dumps(line) for line in (head, *lines)]
        self.files.write(self.files.subjects, "\n".join(texts) + "\n")

    def load(self, *, strict: bool = False) -> LoadResult:
        """Load; what comes of it stands."""
        outcome = load(LoadJob(self.files.sources, str(self.data.root), self.state, strict=strict))
        assert outcome.error is None
        self.state = outcome.state
        return outcome

    def quantity(self, subject: Subject) -> int | str | None:
        """How many of gold a subject holds; `quarantined`, or nothing for one who is unknown."""
        assert self.state is not None
        try:
            record = Replica(self.data.replica(self.state.replica)).find(subject)
        except QuarantinedError:
            return "quarantined"
        return None if record is None else _quantity(record)

    def of(self, *customers: str) -> list[int | str | None]:
        """How many of gold some customers hold."""
        return [self.quantity(Subject(id_)) for id_ in customers]

    def of_subscriptions(self, *subscriptions: str) -> list[int | str | None]:
        """How many of gold the customers of some subscriptions hold."""
        return [self.quantity(Subject(id_, SubjectType.SUBSCRIPTION)) for id_ in subscriptions]


def _quantity(record: SubjectRecord) -> int:
    return sum(item.quantity for held in record.subscriptions for item in held.items)


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    """A catalog; no subjects yet."""
    made = Work(tmp_path)
    yield made
    made.data.close()


BAD: dict[str, tuple[Line, ...]] = {
    "a status": (customer("acme"), subscription("s-acme", "acme", 5, status="unpaid")),
    "an item": (customer("acme"), subscription("s-acme", "acme", 5, items=[{"item": "golld"}])),
    "a version": (customer("acme"), subscription("s-acme", "acme", items=[{"item": "gold", "version": 9}])),
    "a feature": (customer("acme", overrides=[{"feature": "none", "value": 1}]), subscription("s-acme", "acme", 5)),
    "a value": (customer("acme", overrides=[{"feature": "movies", "value": "x"}]), subscription("s-acme", "acme", 5)),
    "a key": (customer("acme", colour="red"), subscription("s-acme", "acme", 5)),
    "a date": (customer("acme"), subscription("s-acme", "acme", 5, start="yesterday")),
    "a quantity": (customer("acme"), subscription("s-acme", "acme", -1)),
    "a total": (customer("acme"), *(subscription(f"s-{n}", "acme", 10**15) for n in range(200))),
    "no items": (customer("acme"), {"type": "subscription", "id": "s-acme", "customer": "acme", "status": "active"}),
    "two customers": (customer("acme"), customer("acme"), subscription("s-acme", "acme", 5)),
    "two subscriptions": (customer("acme"), subscription("s-acme", "acme", 5), subscription("s-acme", "acme", 6)),
    "a subscription without an id": (customer("acme"), subscription("", "acme", 5)),
    "a key that stands twice": (
        customer("acme"),
        '{"type":"subscription","id":"s-acme","customer":"acme","status":"active","status":"active","items":[]}',
    ),
}


@pytest.mark.parametrize("earlier", EARLIER)
@pytest.mark.parametrize("bad", BAD)
def test_one_bad_record_keeps_its_customer_as_it_was_and_nobody_else(work: Work, bad: str, earlier: str) -> None:
    """With its earlier record, or with none: then its checks cannot be evaluated, and it is never unknown."""
    if earlier == "earlier":
        work.write(*GOOD)
        work.load()
    work.write(*BAD[bad], *GOOD[2:4], *CHANGED)
    outcome = work.load()
    assert outcome.problems == ()
    assert outcome.state is not None
    assert outcome.state.replica.quarantined == 1
    problem = outcome.state.replica.problems[0]
    assert problem.file == str(work.files.subjects)
    assert problem.line > 1
    assert work.of("acme", "beta", "corp", "nobody") == [2 if earlier == "earlier" else "quarantined", 2, 3, None]
    if "id" not in bad and bad != "a total":
        assert work.of_subscriptions("s-acme") == [2 if earlier == "earlier" else "quarantined"]


@pytest.mark.parametrize("bad", BAD)
def test_strict_takes_all_or_nothing(work: Work, bad: str) -> None:
    """As `tiergate lint` does."""
    work.write(*GOOD)
    before = work.load(strict=True)
    work.write(*BAD[bad], *GOOD[2:4], *CHANGED)
    outcome = work.load(strict=True)
    assert outcome.problems
    assert outcome.state == before.state
    assert work.of("acme", "corp") == [2, 2]


@pytest.mark.parametrize("earlier", EARLIER)
def test_an_unknown_customer_takes_nothing_from_who_held_the_subscription(work: Work, earlier: str) -> None:
    """The one that is named has no record, and the one who had it keeps it."""
    if earlier == "earlier":
        work.write(*GOOD)
        work.load()
    work.write(customer("acme"), subscription("s-acme", "acmee", 5), *GOOD[2:4], *CHANGED)
    work.load()
    assert work.of("acmee", "corp") == ["quarantined", 3]
    assert work.of("acme") == [2 if earlier == "earlier" else 0]
    assert work.of_subscriptions("s-acme") == [2 if earlier == "earlier" else "quarantined"]


def test_a_subscription_whose_customer_cannot_be_read_stays_with_its_holder(work: Work) -> None:
    """And is nobody's where it is new."""
    work.write(*GOOD)
    work.load()
    lost = subscription("s-acme", "", 5)
    work.write(customer("acme"), lost, subscription("s-new", ""), *GOOD[2:4], *CHANGED)
    work.load()
    assert work.of("acme", "corp") == [2, 3]
    assert work.of_subscriptions("s-acme", "s-new", "s-none") == [2, "quarantined", None]


def test_what_is_new_beside_an_earlier_record_is_not_unknown(work: Work) -> None:
    """It cannot be evaluated: the earlier record does not have it."""
    work.write(*GOOD)
    work.load()
    more = subscription("s-more", "acme")
    work.write(customer("acme"), more, subscription("s-acme", "acme", status="unpaid"), *GOOD[2:])
    work.load()
    assert work.of("acme") == [2]
    assert work.of_subscriptions("s-acme", "s-more") == [2, "quarantined"]


def test_a_subscription_that_somebody_else_holds_now_is_not_held_twice(work: Work) -> None:
    """Who had it keeps the rest."""
    work.write(*GOOD, subscription("s-acme-2", "acme", 7))
    work.load()
    moved = subscription("s-acme-2", "beta", 7)
    work.write(customer("acme"), subscription("s-acme", "acme", status="unpaid"), moved, *GOOD[2:])
    work.load()
    assert work.of("acme", "beta") == [2, 9]
    assert work.of_subscriptions("s-acme-2") == [9]


def test_a_record_that_is_mended_is_followed(work: Work) -> None:
    """Through several loads: the earlier record outlives them, and what none ever had stays without."""
    work.write(*GOOD)
    work.load()
    for quantity in (3, 4):
        lines = (customer("acme", colour="red"), customer("new", colour="red"), *GOOD[2:4], customer("corp"))
        work.write(*lines, subscription("s-corp", "corp", quantity))
        outcome = work.load()
        assert outcome.state is not None
        assert outcome.state.replica.quarantined == 2
        assert work.of("acme", "new", "corp") == [2, "quarantined", quantity]
    work.write(customer("acme"), customer("new"), subscription("s-new", "new", 9), *GOOD[2:])
    outcome = work.load()
    assert outcome.state is not None
    assert (outcome.state.replica.quarantined, outcome.state.replica.problems) == (0, ())
    assert work.of("acme", "new", "corp") == [0, 9, 2]


def test_a_catalog_that_does_not_fit_an_earlier_record_is_not_taken(work: Work) -> None:
    """Nobody loses by it what they have: the last good pair stays, as ever."""
    work.files.write(
        work.files.catalog, catalog_text(extra="  - {id: silver, kind: plan, entitlements: {movies: 5}}\n")
    )
    silver = subscription("s-acme", "acme", items=[{"item": "silver"}])
    work.write(customer("acme"), silver, *GOOD[2:])
    before = work.load()
    work.files.write(work.files.catalog, catalog_text())
    outcome = work.load()
    assert outcome.problems
    assert outcome.state is not None
    assert before.state is not None
    assert replace(outcome.state, subjects=before.state.subjects) == before.state


def test_an_earlier_record_is_read_by_the_scale_that_it_was_written_by(work: Work) -> None:
    """Its numbers mean the same under a catalog that counts in other units."""
    override = {"feature": "movies", "value": 7}
    work.write(customer("acme", overrides=[override]), *GOOD[1:])
    work.load()
    scaled = catalog_text().replace("type: quantity", "type: quantity, scale: 2")
    work.files.write(work.files.catalog, scaled)
    work.write(customer("acme", colour="red"), *GOOD[1:])
    work.load()
    assert work.state is not None
    record = Replica(work.data.replica(work.state.replica)).find(Subject("acme"))
    assert record is not None
    value = record.customer.overrides[0].value
    assert getattr(value, "units", None) == 700


NOBODYS: dict[str, Line] = {
    "no JSON": '{"type": "customer", "id": "acm',
    "no object": "[]",
    "no type": {"id": "acme"},
    "another type": {"type": "user", "id": "acme"},
    "a customer without an id": {"type": "customer"},
    "nothing of a subscription": {"type": "subscription", "status": "active", "items": []},
    "bytes that are no UTF-8": '"\udcff"',
}


@pytest.mark.parametrize("line", [name for name in NOBODYS if "UTF" not in name])
def test_what_names_nobody_refuses_the_file(work: Work, line: str) -> None:
    """Whose record to keep would be a guess, and a file that was cut looks like this."""
    work.write(*GOOD)
    before = work.load()
    work.write(*GOOD[:4], *CHANGED, NOBODYS[line])
    outcome = work.load()
    assert outcome.problems
    assert outcome.state == before.state


def test_too_much_at_once_refuses_the_file(work: Work) -> None:
    """Where nobody's record is good, the file is wrong, or the catalog."""
    work.write(customer("acme", colour="red"), customer("beta", colour="red"))
    outcome = work.load()
    assert len(outcome.problems) == 2
    assert outcome.state is None


def test_records_of_other_files_are_set_aside_too(work: Work) -> None:
    """In YAML, with the place in it."""
    work.files.subjects = work.files.folder / "subjects.yaml"
    bad = "- {id: s-acme, customer: acme, status: unpaid, items: [{item: gold}]}"
    text = f"apiVersion: tiergate/v1\ncustomers: [{{id: acme}}, {{id: beta}}]\nsubscriptions:\n  {bad}\n"
    work.files.write(work.files.subjects, text)
    outcome = work.load()
    assert outcome.state is not None
    assert [(it.line, it.column) for it in outcome.state.replica.problems] == [(4, 42)]
    assert work.of("acme", "beta") == ["quarantined", 0]


def test_problems_survive_a_restart(work: Work) -> None:
    """They are on record with what they are of, and files that did not change are not read again for them."""
    work.write(*BAD["a status"], *GOOD[2:])
    outcome = work.load()
    assert outcome.state is not None
    work.data.write(outcome.state)
    again = work.data.read()
    assert again is not None
    assert again.replica == outcome.state.replica
    assert isinstance(again.replica.problems[0], Problem)
    work.state = again
    assert work.load().state == again
