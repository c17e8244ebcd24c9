from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tiergate.catalog.loader import CATALOG_ENDINGS
from tiergate.catalog.reading.files import expand_paths
from tiergate.catalog.reading.problem_report import ProblemLog

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "meant"),
    [("big.yalm", "big.yaml"), ("big.ymal", "big.yaml"), ("big.yam", "big.yaml"), ("big.jsno", "big.json"),
     ("big.ylm", "big.yml")],
)  # fmt: skip
def test_a_misspelt_ending_is_a_problem(tmp_path: Path, name: str, meant: str) -> None:
    """Otherwise a plan would be missing from what is published, and nobody would notice."""
    (tmp_path / "small.yaml").write_text("", encoding="utf-8")
    (tmp_path / name).write_text("", encoding="utf-8")
    log = ProblemLog()
    assert expand_paths([tmp_path], CATALOG_ENDINGS, log) == [tmp_path / "small.yaml"]
    assert [(it.file, it.code, it.suggestion) for it in log.sorted()] == [
        (str(tmp_path / name), "misnamed-file", meant)
    ]


@pytest.mark.parametrize(
    "name",
    ["big.yaml~", "log.ndjson", "log.jsonl", "own.cedar", "usage.csv", "a.md", ".big.yalm", "x.toml", "Makefile"],
)
def test_other_files_are_left_out(tmp_path: Path, name: str) -> None:
    """They are of another kind, or hidden."""
    (tmp_path / "small.yaml").write_text("", encoding="utf-8")
    (tmp_path / name).write_text("", encoding="utf-8")
    log = ProblemLog()
    assert expand_paths([tmp_path], CATALOG_ENDINGS, log) == [tmp_path / "small.yaml"]
    assert not log.count
