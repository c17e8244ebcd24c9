from __future__ import annotations

import pytest

from tiergate.http import entity_tags


@pytest.mark.parametrize("header", [b'"a"', b'W/"a"', b'"b", "a"', b"*", b' "a" '])
def test_a_header_that_names_the_tag_matches(header: bytes) -> None:
    """Alone or in a list, weakly, or any."""
    assert entity_tags.matches(header, b'"a"')


@pytest.mark.parametrize("header", [b"", b'"b"', b"a", b'"a'])
def test_another_tag_does_not_match(header: bytes) -> None:
    """Nor one without its quotes."""
    assert not entity_tags.matches(header, b'"a"')
