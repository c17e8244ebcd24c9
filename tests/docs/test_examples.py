"""The examples that pages show."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.docs.pages import PAGES, ROOT, examples, name, spans

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_data_in_a_page_is_well_formed(page: Path) -> None:
    """Every block of a page that is marked as JSON or YAML is that."""
    for example in examples(page):
        if example.language == "json":
            json.loads(example.text)
        elif example.language in {"yaml", "yml"}:
            list(yaml.safe_load_all(example.text))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_make_targets_in_a_page_exist(page: Path) -> None:
    """A page that says `make something` names a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    shown = [*spans(page), *(line for example in examples(page) for line in example.text.splitlines())]
    named = {match[1] for text in shown if (match := re.match(r"(?:\$ )?make ([a-z][a-z-]*)", text))}
    assert named - targets == set()
