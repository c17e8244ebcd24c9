"""The page of published measurements."""

from __future__ import annotations

import pytest

from benchmarks.published import PAGE, Published, read_published, update_page
from benchmarks.race.peers import PEERS


def test_the_page_shows_the_published_results() -> None:
    """The tables are those of `benchmarks/results.json`; `--update-page` writes both."""
    text = PAGE.read_text("utf-8")
    assert update_page(text, read_published()) == text


def test_the_page_shows_every_peer_and_when_it_was_measured() -> None:
    """Each system of the race has a result with a version and a date."""
    race = read_published().race
    assert race.keys() == {peer.name for peer in PEERS}
    assert all(result.version and result.date for result in race.values())


def test_a_page_without_markers_is_not_changed() -> None:
    """A lost marker is an error, not a page that keeps old figures."""
    with pytest.raises(ValueError, match="markers"):
        update_page("# Performance\n", Published())
