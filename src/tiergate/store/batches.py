"""Batches of ids that fit into one statement, because databases limit its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

T = TypeVar("T")


def in_batches(values: Collection[T], size: int = 1000) -> Iterator[list[T]]:
    """Yield the values in lists of at most `size`."""
    ordered = list(values)
    for begin in range(0, len(ordered), size):
        yield ordered[begin : begin + size]
