"""Where random documents take their choices from: Hypothesis, which shrinks what fails, or a seed, fast and varied.

Hypothesis alone makes most of its examples out of earlier ones, so that of some hundred large documents few are really
different; and it keeps every choice of them in memory.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, TypeVar

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Args = ParamSpec("Args")
T = TypeVar("T")
U = TypeVar("U")

_BY_SEED = 3


class Choices(Protocol):
    """A source of choices; the first of each is the simplest."""

    def number(self, least: int, most: int) -> int:
        """A whole number between two bounds, both included."""
        ...

    def one(self, options: Sequence[U]) -> U:
        """One of some options."""
        ...


class Drawn:
    """Choices of Hypothesis."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def number(self, least: int, most: int) -> int:
        """As `Choices`."""
        return self._draw(st.integers(least, most))

    def one(self, options: Sequence[U]) -> U:
        """As `Choices`."""
        return self._draw(st.sampled_from(options))


class Seeded:
    """Choices out of one seed."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def number(self, least: int, most: int) -> int:
        """As `Choices`."""
        return self._random.randint(least, most)

    def one(self, options: Sequence[U]) -> U:
        """As `Choices`."""
        return self._random.choice(options)


def random_strategy(make: Callable[Concatenate[Choices, Args], T]) -> Callable[Args, st.SearchStrategy[T]]:
    """Turn a maker of random things into a strategy: now and then drawn choice by choice, mostly out of a seed."""

    def strategy(*args: Args.args, **kwargs: Args.kwargs) -> st.SearchStrategy[T]:
        @st.composite
        def drawn(draw: st.DrawFn) -> T:
            return make(Drawn(draw), *args, **kwargs)

        seeded = st.integers(0, 2**64).map(lambda seed: make(Seeded(seed), *args, **kwargs))
        return st.one_of(drawn(), *[seeded] * _BY_SEED)

    return strategy
