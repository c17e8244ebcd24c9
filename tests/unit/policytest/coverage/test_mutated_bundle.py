from __future__ import annotations

from tests.unit.engine.small import GOLD, bundle
from tiergate.model import Amount
from tiergate.policytest.coverage.mutated_bundle import MutatedBundle

GOLD_3 = "plan/gold@3"


def test_one_value_is_another() -> None:
    """All others stay."""
    found = MutatedBundle(bundle(), GOLD_3, "movies", Amount(7)).definition(GOLD_3)
    assert dict(found) == GOLD | {"movies": Amount(7)}
    assert len(found) == len(GOLD)


def test_one_value_is_not_there() -> None:
    """However one looks for it."""
    found = MutatedBundle(bundle(), GOLD_3, "movies", None).definition(GOLD_3)
    assert (found.get("movies"), "movies" in found, len(found)) == (None, False, len(GOLD) - 1)
    assert "movies" not in list(found)


def test_everything_else_is_the_bundle() -> None:
    """Other versions, the index, the files."""
    base = bundle()
    other = MutatedBundle(base, GOLD_3, "movies", None)
    assert other.definition("addon/extra@1") == base.definition("addon/extra@1")
    assert (other.index, other.revision) == (base.index, base.revision)
    assert other.text("policies/guards.cedar") == base.text("policies/guards.cedar")
    assert other.paths("policies/") == base.paths("policies/")
