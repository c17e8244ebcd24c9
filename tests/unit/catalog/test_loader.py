from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.unit.catalog.marked import catalog_problems, expect, load, unmark
from tiergate.catalog import load_catalog
from tiergate.errors import CatalogError
from tiergate.model import PlansPerSubscription

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tiergate.model import Problem

GOOD = """\
apiVersion: tiergate/v1
features:
  - {id: seats, type: quantity}
items:
  - {id: pro, kind: plan, version: 2, entitlements: {seats: 5}}
"""


def problems_of(*paths: Path) -> Sequence[Problem]:
    """What is wrong with these files."""
    with pytest.raises(CatalogError) as caught:
        load_catalog(paths)
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("^", "empty-file"),
        ("^# only a comment\n", "empty-file"),
        ("^just text\n", "wrong-type"),
        ("^- a\n", "wrong-type"),
        ("^features: []\nitems: []\n", "missing-key"),
        ("apiVersion: ^tiergate/v2\nfeatures: []\nitems: []\n", "unknown-api-version"),
        ("apiVersion: ^1\nfeatures: []\nitems: []\n", "unknown-api-version"),
        ("apiVersion:^\nfeatures: []\nitems: []\n", "unknown-api-version"),
        ("^apiVersion: tiergate/v1\n", "missing-key missing-key"),
        ("^apiVersion: tiergate/v1\nfeatures: []\n", "missing-key"),
        ("^apiVersion: tiergate/v1\nitems: []\n", "missing-key"),
        ("apiVersion: tiergate/v1\nfeatures: ^{}\nitems: ^{}\n", "wrong-type wrong-type"),
        ("apiVersion: tiergate/v1\nfeatures:^\nitems: ^nothing\n", "wrong-type wrong-type"),
        ("apiVersion: tiergate/v1\nfeatures: []\nitems: []\n^planes: one\n", "unknown-key"),
        ("apiVersion: tiergate/v1\nfeatures: []\nitems: []\nplans: ^two\n", "unknown-word"),
    ],
)
def test_a_file_that_is_no_catalog_is_refused(text: str, codes: str, tmp_path: Path) -> None:
    """What a file lacks, or has too much, is named."""
    clean, marks = unmark(text)
    count = len(codes.split())
    expect(catalog_problems(tmp_path, clean), marks * (count if len(marks) == 1 else 1), codes)


def test_all_problems_are_reported_at_once_in_order(tmp_path: Path) -> None:
    """A wrong feature hides neither the next one nor the items nor the references between them."""
    text, marks = unmark(
        "apiVersion: tiergate/v1\n"
        "items:\n"
        "  - {id: pro, kind: plan, entitlements: {seats: ^-5, ^reports: true}}\n"
        "  - {id: extra, kind: addon, available_for: [^por], entitlements: {seats: {ad: ^1}}}\n"
        "features:\n"
        "  - {id: seats, type: quantity}\n"
        "  - {id: x, type: ^unknown}\n"
        "ladders:\n"
        "  - {id: l, plans: [pro, ^extra]}\n".replace("{ad: ^1}", "^{^ad: 1}"),
    )
    codes = "bad-number unknown-feature unknown-item missing-key unknown-key unknown-word not-a-plan"
    expect(catalog_problems(tmp_path, text), marks, codes)


def test_json_is_read_like_yaml(tmp_path: Path) -> None:
    """The same catalog in JSON is the same value."""
    data = {
        "apiVersion": "tiergate/v1",
        "features": [{"id": "seats", "type": "quantity"}],
        "items": [{"id": "pro", "kind": "plan", "version": 2, "entitlements": {"seats": 5}}],
    }
    assert load(tmp_path, json.dumps(data), "catalog.json") == load(tmp_path, GOOD)


def test_a_problem_in_json_has_its_place(tmp_path: Path) -> None:
    """Lines and columns count in JSON as in YAML."""
    text, marks = unmark('{"apiVersion": "tiergate/v1",\n "features": [{"id": "f", "type": ^"swich"}],\n "items": []}')
    expect(catalog_problems(tmp_path, text, "catalog.json"), marks, "unknown-word")


def test_columns_count_characters_and_lines_any_line_break(tmp_path: Path) -> None:
    """Windows line ends count once, letters outside ASCII count as one."""
    text, marks = unmark(
        "apiVersion: tiergate/v1\r\nfeatures:\r\n  - {id: f, name: Größe 🎬, type: ^swich}\r\nitems: []\r\n^x: 1\r\n"
    )
    expect(catalog_problems(tmp_path, text), marks, "unknown-word unknown-key")


def test_several_files_make_one_catalog(tmp_path: Path) -> None:
    """Features and items may stand in different files, in any order."""
    (tmp_path / "b.yaml").write_text("apiVersion: tiergate/v1\nfeatures: [{id: seats, type: quantity}]\n")
    (tmp_path / "a.yaml").write_text(
        "apiVersion: tiergate/v1\nitems: [{id: pro, kind: plan, version: 2, entitlements: {seats: 5}}]\n"
    )
    together = load_catalog([tmp_path / "a.yaml", tmp_path / "b.yaml"]).catalog
    assert together == load(tmp_path, GOOD)


def test_a_folder_means_the_catalog_files_in_it(tmp_path: Path) -> None:
    """YAML and JSON files are read; hidden files, tests, folders and other files are not."""
    (tmp_path / "features.yml").write_text("apiVersion: tiergate/v1\nfeatures: [{id: seats, type: quantity}]\n")
    (tmp_path / "items.json").write_text('{"apiVersion": "tiergate/v1", "items": []}')
    (tmp_path / ".hidden.yaml").write_text("nonsense")
    (tmp_path / "pro_test.yaml").write_text("nonsense")
    (tmp_path / "README.md").write_text("nonsense")
    (tmp_path / "more.yaml").mkdir()
    assert list(load_catalog([tmp_path]).catalog.features) == ["seats"]


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    """A folder and a file in it do not make everything stand twice."""
    path = tmp_path / "catalog.yaml"
    path.write_text(GOOD)
    assert load_catalog([path, tmp_path, path]).catalog.items.keys() == {"pro"}


def test_the_rule_on_plans_stands_in_any_file_and_is_one_by_default(tmp_path: Path) -> None:
    """A catalog allows one plan unless a file of it says `many`."""
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text("apiVersion: tiergate/v1\nplans: many\n")
    (tmp_path / "c.yaml").write_text("apiVersion: tiergate/v1\nplans: many\n")
    alone, together = load_catalog([tmp_path / "a.yaml"]), load_catalog([tmp_path])
    assert (alone.catalog.plans, alone.names_plans) == (PlansPerSubscription.ONE, False)
    assert (together.catalog.plans, together.names_plans) == (PlansPerSubscription.MANY, True)


def test_files_that_differ_on_plans_are_refused(tmp_path: Path) -> None:
    """The second file is the problem, the first is in its message."""
    one, other = tmp_path / "a.yaml", tmp_path / "b.yaml"
    one.write_text(GOOD + "plans: many\n")
    other.write_text("apiVersion: tiergate/v1\nplans: one\n")
    (problem,) = problems_of(one, other)
    assert (problem.file, problem.line, problem.code) == (str(other), 2, "key-conflict")
    assert str(one) in problem.message


def test_an_id_in_two_files_names_both(tmp_path: Path) -> None:
    """The second place is the problem, the first is in its message."""
    one, other = tmp_path / "a.yaml", tmp_path / "b.yaml"
    one.write_text(GOOD)
    other.write_text("apiVersion: tiergate/v1\nfeatures:\n\n  - {id: seats, type: switch}\n")
    (problem,) = problems_of(one, other)
    assert (problem.file, problem.line, problem.column) == (str(other), 4, 10)
    assert problem.message == f"the feature `seats` exists already, in {one}, line 3"


def test_nothing_is_called_missing_that_an_unreadable_file_may_hold(tmp_path: Path) -> None:
    """A broken file is the one problem, not every reference to what stands in it."""
    one, other = tmp_path / "a.yaml", tmp_path / "b.yaml"
    one.write_text("apiVersion: tiergate/v1\nitems: [{id: pro, kind: plan, entitlements: {seats: 5}}]\n")
    other.write_text("apiVersion: tiergate/v1\nfeatures: [{id: seats, type: quantity]\n")
    assert [(problem.file, problem.code) for problem in problems_of(one, other)] == [(str(other), "bad-yaml")]


def test_a_file_that_does_not_exist_is_a_problem(tmp_path: Path) -> None:
    """Its path is named, without a line."""
    (problem,) = problems_of(tmp_path / "none.yaml")
    assert (
        str(problem) == f"{tmp_path / 'none.yaml'}: error: cannot be read: no such file or directory [unreadable-file]"
    )


@pytest.mark.parametrize("name", ["c.yaml", "c.json"])
@pytest.mark.parametrize(
    ("content", "place", "code"),
    [
        (b"apiVersion: tiergate/v1\r\nname: caf\xc3\xa9 \xe9\n", (2, 12), "not-utf-8"),
        ("apiVersion: tiergate/v1".encode("utf-16"), (1, 1), "not-utf-8"),
        (b"\xef\xbb\xbfapiVersion: tiergate/v1\n", (1, 1), "byte-order-mark"),
    ],
)
def test_bytes_that_are_no_text_are_a_problem(
    name: str, content: bytes, place: tuple[int, int], code: str, tmp_path: Path
) -> None:
    """The first byte that is not UTF-8 is named, and so is a byte order mark."""
    path = tmp_path / name
    path.write_bytes(content)
    assert [(problem.line, problem.column, problem.code) for problem in problems_of(path)] == [(*place, code)]


def test_a_file_without_end_is_not_read(tmp_path: Path) -> None:
    """What is too large to be a catalog is refused by its size."""
    path = tmp_path / "c.yaml"
    with path.open("wb") as file:
        file.truncate(2**28 + 1)
    assert [problem.code for problem in problems_of(path)] == ["too-large"]


def test_an_empty_folder_is_a_problem(tmp_path: Path) -> None:
    """A folder without catalog files is named, not taken for an empty catalog."""
    assert [problem.code for problem in problems_of(tmp_path)] == ["empty-folder"]


def test_no_paths_are_a_problem() -> None:
    """A catalog of no files is no catalog."""
    assert [problem.code for problem in problems_of()] == ["no-files"]


def test_positions_say_where_everything_stands(tmp_path: Path) -> None:
    """Later stages name the author's line for a feature, an item, a version, an entitlement or a ladder."""
    path = tmp_path / "c.yaml"
    path.write_text(GOOD + "  - {id: max, kind: plan, entitlements: {}}\nladders:\n  - {id: l, plans: [pro, max]}\n")
    positions = load_catalog([path]).positions
    assert dict(positions) == {
        ("feature", "seats"): (str(path), 3, 5),
        ("item", "pro"): (str(path), 5, 5),
        ("item", "pro", 2): (str(path), 5, 53),
        ("item", "pro", 2, "seats"): (str(path), 5, 61),
        ("item", "max"): (str(path), 6, 5),
        ("item", "max", 1): (str(path), 6, 41),
        ("ladder", "l"): (str(path), 8, 5),
    }
    assert len(positions) == 7


def test_a_position_that_is_not_known_is_that_of_what_is_around_it(tmp_path: Path) -> None:
    """An entitlement that is not written stands where its version stands; an unknown item nowhere."""
    path = tmp_path / "c.yaml"
    path.write_text(GOOD)
    positions = load_catalog([path]).positions
    assert positions.find("item", "pro", 2, "other") == (str(path), 5, 53)
    assert positions.find("item", "pro", 9, "seats") == (str(path), 5, 5)
    assert positions.find("item", "unknown") is None


def test_more_problems_than_anybody_reads_are_counted(tmp_path: Path) -> None:
    """The first ten thousand are named, the others are a number."""
    count = 10_003
    listed = "".join(f"  - {{id: f{number}, type: x}}\n" for number in range(count))
    problems = catalog_problems(tmp_path, f"apiVersion: tiergate/v1\nfeatures:\n{listed}items: []\n")
    assert len(problems) == 10_001
    assert problems[-1].message == "3 more problems are not shown"


@pytest.mark.parametrize(
    ("key", "where"),
    [
        ("customers", "subjects file"),
        ("subscriptions", "subjects file"),
        ("tests", "test file"),
        ("suite", "test file"),
    ],
)
def test_a_key_of_another_file_is_told_where_it_belongs(key: str, where: str, tmp_path: Path) -> None:
    """A folder may have files of several kinds, and each reader takes its own."""
    (tmp_path / "all.yaml").write_text(f"apiVersion: tiergate/v1\n{key}: []\n")
    problem = next(it for it in problems_of(tmp_path) if it.code == "unknown-key")
    assert not problem.suggestion
    assert where in problem.message
