"""The command line, called within this process; and the sample that ships with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pytest

from tiergate.cli.invocation import run

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLE = Path(__file__).parents[3] / "examples" / "streaming"
CATALOG = str(SAMPLE / "catalog.yaml")
FILES = ("--catalog", CATALOG, "--subjects", str(SAMPLE / "subjects.yaml"), "--rules", str(SAMPLE / "rules"))


class Ran(NamedTuple):
    """How a command ended: its exit code, and what it wrote."""

    code: int
    out: str
    err: str


class Cli(Protocol):
    """Runs a command line."""

    def __call__(self, *args: str | Path) -> Ran:
        """Run `tiergate` with these arguments."""


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Give the command line."""

    def call(*args: str | Path) -> Ran:
        code = run([str(arg) for arg in args])
        written = capsys.readouterr()
        return Ran(code, written.out, written.err)

    return call


BROKEN_CATALOG = """\
apiVersion: tiergate/v1
features:
  - {id: movies, type: quantty}
items:
  - {id: gold, kind: plan, entitlements: {films: 5}}
"""


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """Give a catalog with two problems."""
    path = tmp_path / "broken.yaml"
    path.write_text(BROKEN_CATALOG, encoding="utf-8")
    return path
