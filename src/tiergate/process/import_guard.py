"""Keeping out of a process what packages would import for extras of their own, such as colours."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def block_imports(*packages: str) -> Iterator[None]:
    """Import as if these packages were not there; those that are loaded already stay as they are.

    For imports of packages that do without, and at a process's start alone: other threads would miss them too.
    """
    hidden = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type] # how an import is made to fail
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
