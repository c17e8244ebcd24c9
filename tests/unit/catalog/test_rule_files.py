from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tiergate.catalog import read_rules
from tiergate.errors import RulesError
from tiergate.model import Rules

if TYPE_CHECKING:
    from pathlib import Path


def codes(folder: Path) -> list[tuple[str, str]]:
    """What is wrong with a folder of rules, by file name."""
    with pytest.raises(RulesError) as caught:
        read_rules(folder)
    return [(problem.file.removeprefix(f"{folder}/"), problem.code) for problem in caught.value.problems]


def test_each_kind_of_file_has_its_place(tmp_path: Path) -> None:
    """Policies, schemas and entities come under their names without endings, as they were written."""
    (tmp_path / "limits.cedar").write_text("permit (principal, action, resource);\r\n", newline="")
    (tmp_path / "regions.cedarschema").write_text("entity Region;\n")
    (tmp_path / "regions.entities.json").write_text("[]")
    assert read_rules(tmp_path) == Rules(
        policies={"limits": "permit (principal, action, resource);\r\n"},
        schemas={"regions": "entity Region;\n"},
        entities={"regions": "[]"},
    )


def test_what_is_about_rules_is_passed_over(tmp_path: Path) -> None:
    """Pages, tests and hidden files may stand beside them."""
    for name in ("README", "README.md", "why.md", "limits_test.yaml", ".gitkeep"):
        (tmp_path / name).write_text("text")
    assert read_rules(tmp_path) == Rules()


def test_whatever_else_is_named(tmp_path: Path) -> None:
    """A rule in a misnamed file is never silently without effect."""
    (tmp_path / "limits.cedar.bak").write_text("")
    (tmp_path / "limits.txt").write_text("")
    (tmp_path / "my rules.cedar").write_text("")
    (tmp_path / ".cedar").write_text("")
    (tmp_path / "latin1.cedar").write_bytes(b"// caf\xe9")
    (tmp_path / "more").mkdir()
    assert codes(tmp_path) == [
        ("latin1.cedar", "not-utf-8"),
        ("limits.cedar.bak", "unknown-kind"),
        ("limits.txt", "unknown-kind"),
        ("more", "unexpected-folder"),
        ("my rules.cedar", "bad-name"),
    ]


def test_a_folder_that_does_not_exist_is_a_problem(tmp_path: Path) -> None:
    """No rules are said by naming no folder, not by naming one that is not there."""
    assert codes(tmp_path / "none") == [(str(tmp_path / "none"), "unreadable-folder")]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("own.cedra", "own.cedar"),
        ("own.ceda", "own.cedar"),
        ("people.entities.jsn", "people.entities.json"),
        ("people.cedarscheme", "people.cedarschema"),
        ("own.txt", ""),
    ],
)
def test_a_near_miss_of_an_ending_says_which_was_meant(tmp_path: Path, name: str, meant: str) -> None:
    """As every near miss."""
    (tmp_path / name).write_text("", encoding="utf-8")
    with pytest.raises(RulesError) as caught:
        read_rules(tmp_path)
    assert [it.suggestion for it in caught.value.problems] == [meant]
