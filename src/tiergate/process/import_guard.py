"""Block imports of optional packages, such as those for coloured output."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def block_imports(*packages: str) -> Iterator[None]:
    """Make these packages unavailable for imports; loaded ones stay as they are.

    Use it only at the start of a process: it affects other threads too.
    """
    hidden = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type] # `None` makes an import fail
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
