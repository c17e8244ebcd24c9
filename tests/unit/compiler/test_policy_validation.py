from __future__ import annotations

import pytest

from tiergate.cedar import Schema, ValidationError, builtin_schema, builtin_text, validate
from tiergate.compiler import policy_validation
from tiergate.compiler.item_policies import PermitWriter, read_shapes, write_specimens
from tiergate.compiler.policy_validation import validate_files, validate_permit_files
from tiergate.model import Amount, Feature, FeatureType

SCHEMA = Schema(builtin_schema())
SHAPES = read_shapes(builtin_text("templates"))


def permits(count: int) -> str:
    """A file of permits, of which every hundredth reads an attribute that does not exist."""
    features = {it: Feature(id=it, type=FeatureType.QUANTITY) for it in (f"f{place:05d}" for place in range(count))}
    text = PermitWriter(features, SHAPES).write("plan/pro@1", dict.fromkeys(features, Amount(1)))
    parts = text.split("\n\n")
    return "\n\n".join(
        part.replace("context.given", "context.gven") if place % 100 == 99 else part for place, part in enumerate(parts)
    )


@pytest.mark.parametrize("count", [1, 99, 100, 127, 128, 129, 256, 300])
def test_a_large_file_is_validated_as_the_whole_would_be(count: int) -> None:
    """Taken apart or not, the same permits are found wrong, at their places in the file."""
    text = permits(count)
    found = validate_files({"a": text.encode()}, SCHEMA)
    assert found.get("a", []) == validate(text, SCHEMA)
    assert [it.place for it in found.get("a", [])] == list(range(99, count, 100))


def test_no_part_is_larger_than_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many permits a file has, Cedar gets at most 128 at once, and each of them once."""
    seen: list[int] = []

    def note(text: str, _schema: Schema) -> list[object]:
        seen.append(text.count("permit ("))
        return []

    monkeypatch.setattr(policy_validation, "validate", note)
    validate_files({"a": permits(300).encode(), "b": permits(3).encode()}, SCHEMA)
    assert sorted(seen) == [3, 44, 128, 128]


def test_every_file_is_validated_by_itself() -> None:
    """A file that is wrong does not hide another one, and what is valid is not named."""
    wrong = b'@id("a") permit (principal, action, resource) when { context.nothing };'
    found = validate_files({"a": wrong, "b": permits(3).encode(), "c": wrong}, SCHEMA)
    assert list(found) == ["a", "c"]


def test_valid_specimens_speak_for_their_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cedar gets the specimens only."""
    seen: list[str] = []

    def note(text: str, schema: Schema) -> list[ValidationError]:
        seen.append(text)
        return validate(text, schema)

    monkeypatch.setattr(policy_validation, "validate", note)
    specimens = write_specimens(SHAPES)
    assert validate_permit_files({"a": permits(3).encode()}, specimens, SCHEMA) == {}
    assert seen == [specimens]


def test_where_a_specimen_is_not_valid_every_file_is_validated() -> None:
    """A file is found wrong, or right, as if there were no specimens."""
    files = {"a": permits(300).encode(), "b": permits(3).encode()}
    specimens = write_specimens(SHAPES).replace("context.given", "context.gven")
    assert validate_permit_files(files, specimens, SCHEMA) == validate_files(files, SCHEMA)
    assert list(validate_files(files, SCHEMA)) == ["a"]
