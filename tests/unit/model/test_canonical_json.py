from __future__ import annotations

import msgspec

from tiergate.model import Audience, Feature, FeatureType, Rollout, Suspension
from tiergate.model.canonical_json import canonical_json


class Kept(msgspec.Struct):
    """A structure that writes its defaults."""

    number: int = 3
    others: list[int] = []


def test_the_layout_is_sorted_and_indented() -> None:
    """One element stands on one line, and keys are in order."""
    assert canonical_json({"b": [1, "é"], "a": {}}) == '{\n  "a": {},\n  "b": [\n    1,\n    "é"\n  ]\n}\n'.encode()


def test_equal_values_are_equal_bytes() -> None:
    """A default that somebody wrote out is left out too: a value has one form."""
    assert canonical_json(Rollout(1, audience=Audience())) == canonical_json(Rollout(1)) == b'{\n  "version": 1\n}\n'


def test_a_structure_that_keeps_its_defaults_writes_them() -> None:
    """Only structures that omit defaults do."""
    assert canonical_json(Kept()) == b'{\n  "number": 3,\n  "others": []\n}\n'


def test_what_is_written_is_what_msgspec_reads() -> None:
    """A value survives being written and read, structures within structures included."""
    feature = Feature(id="a", type=FeatureType.SWITCH, tags=("b",), suspensions=(Suspension("", 3, 5, "c"),))
    assert msgspec.json.decode(canonical_json(feature), type=Feature) == feature
