"""`docs/dependencies.md` against `pyproject.toml`."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.docs.pages import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
GROUPS = PROJECT["dependency-groups"]

DECLARED: dict[str, list[str]] = {
    "The package": PROJECT["project"]["dependencies"],
    "Extras": [line for extra in PROJECT["project"]["optional-dependencies"].values() for line in extra],
    "Tests": GROUPS["test"],
    "Checks": GROUPS["lint"],
    "Building and locking": GROUPS["build"] + GROUPS["lock"] + GROUPS["image"],
}


@pytest.mark.parametrize("section", DECLARED)
def test_every_dependency_is_given_its_reason(section: str) -> None:
    """The page names what `pyproject.toml` declares, each where it belongs, and nothing else."""
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    part = page.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    first_cells = re.findall(r"^\| (.*?) \|", part, re.MULTILINE)
    named = {canonicalize_name(link) for cell in first_cells for link in re.findall(r"\[([^\]]+)\]\(", cell)}
    assert named == {canonicalize_name(Requirement(line).name) for line in DECLARED[section]}
