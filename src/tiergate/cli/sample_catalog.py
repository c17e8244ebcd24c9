"""The sample of `tiergate demo`: a streaming service, as files that users may change."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

SAMPLE_FILES = ("catalog.yaml", "catalog_test.yaml", "subjects.yaml", "rules/sanctions.cedar")
"""The files of the sample, relative to its folder."""


class Sample(NamedTuple):
    """A copy of the sample."""

    catalog: Path
    subjects: Path
    rules: Path


def copy_sample(folder: Path) -> Sample:
    """Copy the sample into a folder, which is created; existing files stay as they are.

    Raises:
        OSError: if a file cannot be written.
    """
    source = _source()
    for name in SAMPLE_FILES:
        target = folder / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.joinpath(*name.split("/")).read_bytes())
    return Sample(folder / "catalog.yaml", folder / "subjects.yaml", folder / "rules")


def _source() -> Traversable:
    installed = files("tiergate") / "examples" / "streaming"
    if installed.is_dir():
        return installed
    # An editable installation uses the folder at the top of the repository.
    return Path(__file__).parents[3] / "examples" / "streaming"
