"""The reference of the administration API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.docs.administration_page import administration_page
from tests.docs.pages import ROOT
from tests.routes import all_routes
from tiergate.store import Store

if TYPE_CHECKING:
    from tests.conftest import Golden

PAGE = ROOT / "docs" / "reference" / "administration-api.md"
SOURCE = ROOT / "src" / "tiergate"


def test_the_page_is_what_the_routes_say(golden: Golden, sqlite_url: str) -> None:
    """Every route stands in the reference as it is, and nothing else does."""
    store = Store.open(sqlite_url)
    try:
        golden(PAGE, administration_page(all_routes(store)))
    finally:
        store.close()


def test_every_code_of_a_refused_edit_is_explained() -> None:
    """Those of the rules on edits, and of the endpoints of the working catalog."""
    files = [
        SOURCE / "catalog" / "checks" / "edit_rules.py",
        *(SOURCE / "admin" / f"{name}.py" for name in ("features", "items")),
    ]
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    used = set(re.findall(r"\"((?:level|value|scale|status|feature|kind|item)-[a-z]+)\"", text))
    page = PAGE.read_text(encoding="utf-8")
    assert {code for code in used if f"`{code}`" not in page} == set()
