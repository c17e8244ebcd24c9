from __future__ import annotations

import pytest

from tiergate.cedar import (
    BUILTIN_POLICIES,
    PolicySyntaxError,
    Schema,
    builtin_schema,
    builtin_text,
    format_text,
    validate,
)

SCHEMA = Schema(builtin_schema())


@pytest.mark.parametrize("name", BUILTIN_POLICIES)
def test_the_policies_written_by_hand_are_valid(name: str) -> None:
    """Strictly, against the schema."""
    assert validate(builtin_text(name), SCHEMA) == []


@pytest.mark.parametrize("name", BUILTIN_POLICIES)
def test_the_policies_written_by_hand_are_laid_out_as_cedar_would(name: str) -> None:
    """Whoever formats them changes nothing."""
    assert format_text(builtin_text(name)) == builtin_text(name)


def test_a_finding_names_the_place_of_its_policy() -> None:
    """Each policy at fault is found, the others are not."""
    text = (
        "permit (principal, action, resource);"
        "permit (principal, action, resource) when { context.nothing };"
        "permit (principal, action, resource);"
        'permit (principal == Tag::"t", action, resource);'
    )
    assert {finding.place for finding in validate(text, SCHEMA)} == {1, 3}


def test_text_that_is_no_cedar_is_a_finding_of_the_whole() -> None:
    """It never passes as valid."""
    (finding,) = validate("permit", SCHEMA)
    assert finding.place == -1
    assert finding.message


@pytest.mark.parametrize("text", ["entity", "entity A in [B];", "entity A; entity A;"])
def test_a_schema_that_is_none_is_refused(text: str) -> None:
    """Syntax, unknown types, a type twice."""
    with pytest.raises(PolicySyntaxError, match=r"."):
        Schema(text)
