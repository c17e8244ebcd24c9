"""The chart's README says every value, as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from tests.helm.charts import CHART
from tests.helm.readme import read_parts, readme

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Golden

VALUES = CHART / "values.yaml"


def leaves(value: object, path: str = "") -> Iterator[str]:
    """Give the paths of all values that are no groups."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path


def test_the_readme_is_what_the_values_say(golden: Golden) -> None:
    """Word by word."""
    golden(CHART / "README.md", readme())


def test_every_value_is_described() -> None:
    """By itself or within a value that is, in whole sentences, and once."""
    entries = [it for part in read_parts(VALUES.read_text(encoding="utf-8")) for it in part.entries]
    paths = [it.path for it in entries]
    assert len({*paths}) == len(paths)
    described = {it.path for it in entries if it.default is not None}
    for leaf in leaves(yaml.safe_load(VALUES.read_text(encoding="utf-8"))):
        parts = leaf.split(".")
        assert any(".".join(parts[: n + 1]) in described for n in range(len(parts))), f"`{leaf}` is not described"
    for entry in entries:
        assert entry.says.endswith((".", "`.")), entry.path


def test_a_description_goes_with_the_value_below_it() -> None:
    """Groups have none of their own default; what is inside a described value is its affair."""
    (part,) = read_parts(
        "# ══ A part ════\n# What it is.\n\n# Of a group.\ngroup:\n  # -- One,\n  # and more.\n  one: {a: 1}\n"
        "  # -- Two.\n  two:\n    three: 3\n"
    )
    assert (part.title, part.says) == ("A part", "What it is.")
    assert [(it.path, it.says, it.default) for it in part.entries] == [
        ("group", "Of a group.", None),
        ("group.one", "One, and more.", '{"a": 1}'),
        ("group.two", "Two.", '{"three": 3}'),
    ]
