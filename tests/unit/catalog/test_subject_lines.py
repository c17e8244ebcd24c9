from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.catalog.marked import expect, load, load_people, places, subjects_problems, unmark
from tests.unit.catalog.samples import CUSTOMER, SUBSCRIPTION
from tiergate.catalog import TotalBounds, read_subjects
from tiergate.catalog.entries.subjects import SubjectReader
from tiergate.catalog.reading.problem_report import ProblemLog
from tiergate.catalog.subject_file_reader import MAX_LINE_BYTES, SubjectFileReader
from tiergate.errors import SubjectsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.model import Catalog, Problem

CATALOG = """\
apiVersion: tiergate/v1
features: [{id: seats, type: quantity, scale: 2}, {id: sso, type: switch}]
items: [{id: gold, kind: plan, entitlements: {seats: 5}}]
"""


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """A small catalog."""
    return load(tmp_path, CATALOG)


@pytest.mark.parametrize(
    "text",
    [
        f"{CUSTOMER}\n{SUBSCRIPTION}\n",
        f"{SUBSCRIPTION}\n{CUSTOMER}",
        f'{{"apiVersion": "tiergate/v1"}}\n{CUSTOMER}\n\n  \n{SUBSCRIPTION}\n\n',
        f"{CUSTOMER}\r\n{SUBSCRIPTION}\r\n",
        f"  {CUSTOMER}\t\n{SUBSCRIPTION}\n",
    ],
)
def test_lines_come_in_any_order(text: str, catalog: Catalog, tmp_path: Path) -> None:
    """Empty lines, a head and line ends of any kind change nothing."""
    people = load_people(tmp_path, catalog, text, "s.ndjson")
    assert [held.items[0].item for held in people["acme"].subscriptions] == ["gold"]


@pytest.mark.parametrize("text", ["", "\n", "  \r\n\n"])
def test_an_empty_file_is_refused(text: str, catalog: Catalog, tmp_path: Path) -> None:
    """It is more likely still being written than a list of nobody."""
    problems = subjects_problems(tmp_path, catalog, text, "s.jsonl")
    assert [problem.code for problem in problems] == ["empty-file"]


def test_a_head_alone_has_no_subjects(catalog: Catalog, tmp_path: Path) -> None:
    """A file of lines may have none, if it says so."""
    assert load_people(tmp_path, catalog, '{"apiVersion": "tiergate/v1"}\n', "s.jsonl") == {}


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        ("^5", "wrong-type"),
        ("^[]", "wrong-type"),
        ("^null", "wrong-type"),
        ("^customer", "bad-json"),
        ("{^}", "missing-key"),
        ('{"type": ^"user", "id": "x"}', "unknown-word"),
        ('{"type": ^["customer"], "id": "x"}', "unknown-word"),
        ('^{"type": "customer"}', "missing-key"),
        ('{"type": "customer", "id": ^5}', "wrong-type"),
        ('{"type": "customer", "id": "x", ^"id": "y"}', "duplicate-key"),
        ('{"type": "customer", "id": "x", ^"customer": "y"}', "unknown-key"),
        ('{"type": "customer", "id": "x", "tags": ["a", ^"a"]}', "duplicate-entry"),
        ('{"type": "customer", "id": "x", "tags": ^{"a": 1}}', "wrong-type"),
        ('{"type": "customer", "id": "x"} ^{}', "bad-json"),
        ('{"type": "customer", "id": "x"^', "bad-json"),
        ('{"type": "customer", "id": ^"x\\ud800"}', "bad-character"),
        ('{"type": "customer", "id": ^NaN}', "bad-json"),
        ('{"type": "customer", "overrides": [{"feature": "seats", "value": ^0.001}], "id": "x"}', "bad-number"),
        ('{"type": "customer", "overrides": [{"feature": "seats", "value": ^1e999999999}], "id": "x"}', "bad-number"),
        ('{"type": "customer", "attributes": {"a": ^1e99999999999999999999}, "id": "x"}', "unclear-scalar"),
        ('{"type": "customer", "overrides": [{"feature": "sso", "value": ^0}], "id": "x"}', "unfit-value"),
        (f'{{"type": "customer", "id": ^{"9" * 5000}}}', "unclear-scalar"),
        (
            '{"type": "subscription", "id": "x", "customer": ^"nobody", "status": "active", "items": []}',
            "unknown-customer",
        ),
        (
            '{"type": "subscription", "id": "x", "customer": ^"nobody", "status": ^"due", "items": [{"item": ^"gld"}]}',
            "unknown-customer unknown-word unknown-item",
        ),
        ('{"type": "customer", "id": ^"acme"}', "duplicate-id"),
        ('{"apiVersion": "tiergate/v1"^}', "missing-key"),
    ],
)
def test_a_mistake_in_a_line_is_reported_at_its_place(line: str, codes: str, catalog: Catalog, tmp_path: Path) -> None:
    """Lines and columns count from the beginning of the file, whatever else stands in it."""
    if line.endswith("^}"):
        line = "^" + line.replace("^", "")
    text, marks = unmark(f"{CUSTOMER}\n{line}\n{SUBSCRIPTION}\n")
    expect(subjects_problems(tmp_path, catalog, text, "s.ndjson"), marks, codes)


@pytest.mark.parametrize(
    ("head", "codes"),
    [
        ('{"apiVersion": ^"tiergate/v2"}', "unknown-api-version"),
        ('{"apiVersion": "tiergate/v1", ^"customers": []}', "unknown-key"),
    ],
)
def test_a_mistake_in_the_head_is_reported(head: str, codes: str, catalog: Catalog, tmp_path: Path) -> None:
    """The first line may name the version of the format, and nothing else."""
    text, marks = unmark(f"{head}\n{CUSTOMER}\n")
    expect(subjects_problems(tmp_path, catalog, text, "s.ndjson"), marks, codes)


def problems_of_bytes(catalog: Catalog, path: Path, content: bytes) -> list[tuple[int, int, str]]:
    """Where a file of these bytes is wrong."""
    path.write_bytes(content)
    with pytest.raises(SubjectsError) as caught:
        list(read_subjects([path], catalog.index(), TotalBounds.of(catalog)))
    return places(caught.value.problems)


def test_bytes_that_are_no_text_are_reported(catalog: Catalog, tmp_path: Path) -> None:
    """The column is that of the first such byte; other lines are read on."""
    content = b'{"type": "customer", "id": "x\xff"}\n{"type": "customer", "id": "y", "x": 1}\n'
    assert problems_of_bytes(catalog, tmp_path / "s.ndjson", content) == [(1, 30, "not-utf-8"), (2, 33, "unknown-key")]


def test_a_byte_order_mark_is_reported(catalog: Catalog, tmp_path: Path) -> None:
    """It would make the first line no JSON."""
    content = b"\xef\xbb\xbf" + CUSTOMER.encode()
    assert problems_of_bytes(catalog, tmp_path / "s.ndjson", content) == [(1, 1, "byte-order-mark")]


def test_a_line_without_end_is_not_read_whole(catalog: Catalog, tmp_path: Path) -> None:
    """It is passed over in pieces, and the next one is read."""
    content = b'{"type": "' + b"x" * (3 * MAX_LINE_BYTES) + b'"}\n{"type": "customer", "id": "y", "x": 1}\n'
    assert problems_of_bytes(catalog, tmp_path / "s.ndjson", content) == [(1, 1, "too-large"), (2, 33, "unknown-key")]


def test_a_line_that_nests_without_end_is_a_problem(catalog: Catalog, tmp_path: Path) -> None:
    """Depth is bounded in lines as in whole files."""
    content = b"[" * 100_000
    assert problems_of_bytes(catalog, tmp_path / "s.ndjson", content) == [(1, 25, "too-deep")]


def test_more_problems_than_anybody_reads_are_counted(catalog: Catalog, tmp_path: Path) -> None:
    """The first thousand are named, the others are a number."""
    text = "".join(f'{{"type": "customer", "id": "x{number}", "y": 1}}\n' for number in range(1234))
    problems = subjects_problems(tmp_path, catalog, text, "s.ndjson")
    assert len(problems) == 1001
    assert problems[-1].message == "234 more problems are not shown"


def test_lines_are_read_in_bounded_memory(catalog: Catalog, tmp_path: Path) -> None:
    """What is kept of a line is far less than the line."""
    path = tmp_path / "s.ndjson"
    count = 5_000
    with path.open("w") as file:
        for number in range(count):
            file.write(CUSTOMER.replace("acme", f"customer-{number}") + "\n")
            file.write(SUBSCRIPTION.replace('"s"', f'"sub-{number}"').replace("acme", f"customer-{number}") + "\n")
    subjects = read_subjects([path], catalog.index(), TotalBounds.of(catalog))
    next(subjects)
    tracemalloc.start()
    assert sum(1 for _ in subjects) == 2 * count - 1
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak / (2 * count) < 100


def test_a_pipe_is_read_once(catalog: Catalog, tmp_path: Path) -> None:
    """What cannot be read again to settle a doubt is refused, never accepted in doubt."""
    path = tmp_path / "s.ndjson"
    os.mkfifo(path)

    writer = Thread(target=path.write_text, args=[f"{CUSTOMER}\n{CUSTOMER}\n"])
    writer.start()
    with pytest.raises(SubjectsError) as caught:
        list(read_subjects([path], catalog.index(), TotalBounds.of(catalog)))
    writer.join()
    assert [problem.code for problem in caught.value.problems] == ["changed-file"]


LINES = st.recursive(
    st.sampled_from(["customer", "subscription", "gold", "acme", "active", "seats", "", True, None, 1, 0, -1, 2.5]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(
            st.sampled_from(["type", "id", "customer", "status", "items", "item", "quantity", "overrides", "feature"])
            | st.sampled_from(["value", "mode", "tags", "attributes", "start", "end", "from", "until", "version"]),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=8,
)


@given(st.lists(LINES, max_size=3), st.booleans())
def test_reading_fast_and_reading_with_places_agree(values: list[object], ascii_only: bool) -> None:
    """A line is right or wrong, and says the same, whether it is read with places or without."""
    with TemporaryDirectory() as folder:
        catalog = load(Path(folder), CATALOG)
        path = Path(folder) / "s.ndjson"
        path.write_text("".join(json.dumps(value, ensure_ascii=ascii_only) + "\n" for value in values))
        fast, slow = (_read(path, catalog, placed=placed) for placed in (False, True))
    assert fast == slow


def _read(path: Path, catalog: Catalog, *, placed: bool) -> tuple[list[object], Iterable[Problem]]:
    log = ProblemLog()
    records = SubjectFileReader(SubjectReader(catalog.index(), TotalBounds.of(catalog)), log)
    return [record.subject for record in records.read(path, placed=placed)], log.sorted()


@pytest.mark.parametrize(
    ("key", "where"), [("items", "catalog file"), ("features", "catalog file"), ("tests", "test file")]
)
def test_a_key_of_another_file_is_told_where_it_belongs(key: str, where: str, catalog: Catalog, tmp_path: Path) -> None:
    """As the catalog's reader does."""
    (problem,) = subjects_problems(tmp_path, catalog, f"apiVersion: tiergate/v1\n{key}: []\n", "s.yaml")
    assert problem.code == "unknown-key"
    assert where in problem.message
