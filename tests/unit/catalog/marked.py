"""Files with a mark, `^`, before each thing that is wrong: the loaders must report these places and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tiergate.catalog import TotalBounds, load_catalog, load_subjects
from tiergate.errors import CatalogError, SubjectsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tiergate.model import Catalog, Problem, SubjectRecord

MARK = "^"

Found = tuple[int, int, str]
"""Line, column and code of a problem."""


def unmark(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The text without its marks, and the line and column of each."""
    places = []
    clean = ""
    *parts, last = text.split(MARK)
    for part in parts:
        clean += part
        places.append((clean.count("\n") + 1, len(clean) - clean.rfind("\n")))
    return clean + last, places


def load(folder: Path, text: str, name: str = "catalog.yaml") -> Catalog:
    """The catalog that a text says."""
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return load_catalog([path]).catalog


def catalog_problems(folder: Path, text: str, name: str = "catalog.yaml") -> Sequence[Problem]:
    """What is wrong with a catalog; it is a failure if nothing is."""
    with pytest.raises(CatalogError) as caught:
        load(folder, text, name)
    return caught.value.problems


def load_people(folder: Path, catalog: Catalog, text: str, name: str = "subjects.yaml") -> dict[str, SubjectRecord]:
    """The subjects that a text says."""
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return load_subjects([path], catalog.index(), TotalBounds.of(catalog))


def subjects_problems(folder: Path, catalog: Catalog, text: str, name: str = "subjects.yaml") -> Sequence[Problem]:
    """What is wrong with subjects; it is a failure if nothing is."""
    with pytest.raises(SubjectsError) as caught:
        load_people(folder, catalog, text, name)
    return caught.value.problems


def places(problems: Sequence[Problem]) -> list[Found]:
    """Where the problems are, and which."""
    return [(problem.line, problem.column, problem.code) for problem in problems]


def expect(problems: Sequence[Problem], marks: list[tuple[int, int]], codes: str) -> None:
    """Compare with the marks of a text, and with their codes, separated by spaces."""
    expected = [(line, column, code) for (line, column), code in zip(marks, codes.split(), strict=True)]
    assert places(problems) == sorted(expected), [str(problem) for problem in problems]
