"""Modules that are not installed, remembered.

Python searches every folder of its path each time that a module is imported that does not exist.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec


def remember_absence(name: str) -> None:
    """Let each import of a module fail at once if it is not installed now."""
    if name not in sys.modules and find_spec(name) is None:
        sys.modules[name] = None  # type: ignore[assignment] # as Python documents it
