"""Pages that say what is answered, case by case."""

from __future__ import annotations

import pytest

from tests.docs.cases import Case, answer, cases
from tests.docs.pages import ROOT

PAGES = [
    "docs/explanation/semantics.md",
    "docs/explanation/how-a-check-is-decided.md",
    "docs/reference/reasons.md",
    "docs/how-to/model-what-you-sell.md",
]

SHOWN = [pytest.param(case, id=f"{page}:{case.line}") for page in PAGES for case in cases(ROOT / page)]


@pytest.mark.parametrize("case", SHOWN)
def test_a_case_is_answered_as_its_page_says(case: Case) -> None:
    """Each check on a page has the answer that stands beside it."""
    expected = {key: value for key, value in case.check.items() if key not in {"ask", "at"}}
    assert answer(case) == expected


@pytest.mark.parametrize("page", PAGES)
def test_a_page_of_cases_has_some(page: str) -> None:
    """No page is listed here in vain."""
    assert cases(ROOT / page)
