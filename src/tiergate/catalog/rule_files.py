"""Read the folder of the users' own rules: the kind and text of each file. Does not parse the text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.catalog.reading.files import explain_os_error, find_near_ending, read_text
from tiergate.catalog.reading.problem_report import ProblemLog
from tiergate.errors import RulesError
from tiergate.model import Rules
from tiergate.naming import ID_RULE, is_id
from tiergate.text_normalization import to_nfc

if TYPE_CHECKING:
    from pathlib import Path

POLICIES_ENDING = ".cedar"
"""Policies: `<name>.cedar`."""

SCHEMA_ENDING = ".cedarschema"
"""The users' own entity types: `<name>.cedarschema`."""

ENTITIES_ENDING = ".entities.json"
"""The users' own entities, in Cedar's JSON: `<name>.entities.json`."""

_KINDS = (POLICIES_ENDING, SCHEMA_ENDING, ENTITIES_ENDING)
_IGNORED_ENDINGS = ("_test.yaml", "_test.yml", ".md")


def read_rules(folder: Path) -> Rules:
    """Read `*.cedar`, `*.cedarschema` and `*.entities.json` of a folder, without subfolders.

    Ignores hidden files, `*.md`, `README` and tests (`*_test.yaml`); anything else is a problem, so that a misnamed
    rule is never silently without effect.

    Raises:
        RulesError: with all problems, sorted by file.
    """
    log = ProblemLog()
    result: dict[str, dict[str, str]] = {ending: {} for ending in _KINDS}
    try:
        files = sorted(folder.iterdir())
    except OSError as error:
        log.add((str(folder), 0, 0), "unreadable-folder", explain_os_error(error))
        files = []
    for file in files:
        if not _is_passed_over(file):
            _read(file, result, log)
    log.raise_any(RulesError)
    return Rules(result[POLICIES_ENDING], result[SCHEMA_ENDING], result[ENTITIES_ENDING])


def _is_passed_over(file: Path) -> bool:
    name = file.name
    return name.startswith(".") or name == "README" or name.endswith(_IGNORED_ENDINGS)


def _read(file: Path, found: dict[str, dict[str, str]], log: ProblemLog) -> None:
    position = (str(file), 0, 0)
    ending = next((ending for ending in _KINDS if file.name.endswith(ending)), None)
    if file.is_dir():
        log.add(position, "unexpected-folder", "a folder of rules must not contain folders: move the files up")
    elif ending is None:
        listed = ", ".join(f"`*{kind}`" for kind in _KINDS)
        near = find_near_ending("".join(file.suffixes[-2:]).lower(), _KINDS) or find_near_ending(file.suffix, _KINDS)
        meant = file.name.removesuffix("".join(file.suffixes[-2:])) + near if near else None
        log.add(position, "unknown-kind", f"is not a rule file: rules are {listed}", meant)
    elif not is_id(file.name.removesuffix(ending)):
        log.add(position, "bad-name", f"the name before `{ending}` becomes part of ids: it {ID_RULE}")
    else:
        text = read_text(file, log)
        if text is not None:
            found[ending][file.name.removesuffix(ending)] = to_nfc(text)
