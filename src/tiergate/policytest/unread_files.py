"""Files beside tests that a publish of the folder would contain, and that no suite reads: catalogs and rules."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tiergate.catalog.loader import CATALOG_ENDINGS
from tiergate.catalog.rule_files import POLICIES_ENDING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

_TESTS: Final = ("_test.yaml", "_test.yml")
_CATALOG: Final = re.compile(r"""^["']?(?:features|items)["']?\s*:""", re.MULTILINE)
_OURS: Final = re.compile(r"""^\s*["']?apiVersion["']?\s*:\s*["']?tiergate/""", re.MULTILINE)
_MOST_BYTES: Final = 64 * 2**20


def unread_files(paths: Sequence[Path], inputs: Collection[Path]) -> list[Path]:
    """Return the catalog files and rules in the folders among `paths` that are not among the inputs of a run, sorted.

    `inputs`: files, and folders, of which everything is read that is directly in them. Hidden ones are left out.
    """
    read = {os.path.realpath(path) for path in inputs}
    found: dict[str, Path] = {}
    for folder in paths:
        files = [file for file in _below(folder) if _is_published(file)] if folder.is_dir() else []
        if all(file.name.endswith(POLICIES_ENDING) for file in files):
            continue  # nothing to publish is in it
        for file in files:
            real = os.path.realpath(file)
            if real not in read and str(Path(real).parent) not in read:
                found.setdefault(real, file)
    return sorted(found.values())


def _below(folder: Path) -> Iterator[Path]:
    for top, folders, files in os.walk(folder):
        folders[:] = sorted(it for it in folders if not it.startswith("."))
        yield from (Path(top) / name for name in sorted(files) if not name.startswith("."))


def _is_published(file: Path) -> bool:
    """Return whether a file is a catalog or a rule, by its name and its first level of keys."""
    if file.name.endswith(POLICIES_ENDING):
        return True
    if file.suffix not in CATALOG_ENDINGS or file.name.endswith(_TESTS):
        return False
    try:
        if file.stat().st_size > _MOST_BYTES:
            return True
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return _OURS.search(text) is not None and _CATALOG.search(text) is not None
