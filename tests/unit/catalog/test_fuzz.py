"""Whatever stands in a file, the loaders return a value or raise their own error, with places."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.catalog.samples import CATALOG, CUSTOMER, SUBJECTS, SUBSCRIPTION, PyYaml
from tiergate.catalog import TotalBounds, lint, load_catalog, load_subjects
from tiergate.errors import AuthorError, CatalogError, SubjectsError

if TYPE_CHECKING:
    from tiergate.model import Catalog

MORE = settings(max_examples=2 * settings().max_examples)


def _known() -> Catalog:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "catalog.yaml"
        path.write_text(CATALOG)
        return load_catalog([path]).catalog


KNOWN = _known()
INDEX, BOUNDS = KNOWN.index(), TotalBounds.of(KNOWN)


def feed(content: bytes, name: str) -> None:
    """Load a file as a catalog and as subjects."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            lint(load_catalog([path]))
        except CatalogError as error:
            check(error, content)
        try:
            load_subjects([path], INDEX, BOUNDS)
        except SubjectsError as error:
            check(error, content)


def check(error: AuthorError, content: bytes) -> None:
    """Hold an error to its form: problems in order, inside the file, on one line each."""
    assert error.problems
    assert list(error.problems) == sorted(error.problems)
    lines = content.count(b"\n") + content.count(b"\r") + 1
    for problem in error.problems:
        assert 0 <= problem.line <= lines
        assert problem.column >= min(problem.line, 1)
        assert str(problem).isprintable()


NAMES = st.sampled_from(["file.yaml", "file.json", "file.ndjson"])

PIECES = st.sampled_from(
    [
        *(
            "apiVersion: tiergate/v1\n",
            "features:\n",
            "  - {id: a, type: switch}\n",
            "items: [",
            "entitlements: {a: ",
            "}",
        ),
        *(
            "customers:",
            "- ",
            "? ",
            ": ",
            ", ",
            "[",
            "]",
            "{",
            "&a ",
            "*a",
            "!!int ",
            "<<: ",
            "|\n",
            ">-\n",
            "\t",
            "\n",
            "---\n",
        ),
        *(
            "'",
            '"',
            "\\",
            "\\ud800",
            "\\u0000",
            "#",
            "%",
            "@",
            "`",
            "null",
            "true",
            ".inf",
            "1e999999",
            "0x1",
            "-",
            "~",
        ),
        *("é", "\u2028", "\ufeff", "\U0001f3ac", "\x00", "\x85", "\r\n", '{"type": "customer", "id": "x"}\n'),
    ]
)


@MORE
@given(st.binary(max_size=200), NAMES)
def test_any_bytes(content: bytes, name: str) -> None:
    """Bytes that are no text, or hardly any."""
    feed(content, name)


@MORE
@given(st.lists(PIECES | st.text(max_size=5), max_size=30), NAMES)
def test_any_text(pieces: list[str], name: str) -> None:
    """Text made of what YAML and JSON are made of."""
    feed("".join(pieces).encode("utf-8", "surrogatepass"), name)


@MORE
@given(st.sampled_from([CATALOG, SUBJECTS]), st.data())
def test_a_good_file_with_something_wrong_in_it(text: str, data: st.DataObject) -> None:
    """A file in which pieces are cut out, put in or moved."""
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 20)))
        text = text[:start] + data.draw(st.just("") | PIECES) + text[end:]
    feed(text.encode(), "file.yaml")


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(
        [10**18, 10**400, -1, 0.1, "unlimited", "gold", "movies", "2026-11-01", "x" * 300, "\ud800", "\u0000"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def mutate(document: Any, draw: st.DrawFn) -> Any:  # noqa: ANN401 - JSON
    """The document with one value, somewhere in it, replaced, removed or doubled."""
    if isinstance(document, dict) and document and draw(st.integers(0, 5)):
        key = draw(st.sampled_from(sorted(document)))
        action = draw(st.sampled_from(["in", "in", "in", "remove", "rename"]))
        if action == "in":
            return document | {key: mutate(document[key], draw)}
        rest = {other: value for other, value in document.items() if other != key}
        return rest if action == "remove" else rest | {draw(st.text(max_size=10)): document[key]}
    if isinstance(document, list) and document and draw(st.integers(0, 5)):
        place = draw(st.integers(0, len(document) - 1))
        if draw(st.integers(0, 3)):
            return [*document[:place], mutate(document[place], draw), *document[place + 1 :]]
        return [*document, document[place]]
    return draw(VALUES)


@st.composite
def mutants(draw: st.DrawFn, document: Any) -> Any:  # noqa: ANN401 - JSON
    """The document with a few changes."""
    for _ in range(draw(st.integers(1, 3))):
        document = mutate(document, draw)
    return document


CATALOG_DATA, SUBJECTS_DATA = yaml.load(CATALOG, Loader=PyYaml), yaml.load(SUBJECTS, Loader=PyYaml)
LINES_DATA = [json.loads(CUSTOMER), json.loads(SUBSCRIPTION)]


@MORE
@given(mutants(CATALOG_DATA) | mutants(SUBJECTS_DATA), st.booleans())
def test_a_good_document_with_something_else_in_it(document: object, ascii_only: bool) -> None:
    """JSON that is well formed and says something wrong."""
    text = json.dumps(document, ensure_ascii=ascii_only)
    feed(text.encode("utf-8", "surrogatepass"), "file.json")


@MORE
@given(st.lists(mutants(LINES_DATA), max_size=3), st.booleans())
def test_good_lines_with_something_else_in_them(documents: list[object], ascii_only: bool) -> None:
    """Lines that are well formed and say something wrong."""
    values = [value for document in documents for value in (document if isinstance(document, list) else [document])]
    text = "".join(json.dumps(value, ensure_ascii=ascii_only) + "\n" for value in values)
    feed(text.encode("utf-8", "surrogatepass"), "file.ndjson")
