"""The drafted files of the users' own rules: list, read, put and delete them.

A file that contradicts the others is stored, because it can take several files to correct that. Rules with problems
cannot be published.

Use cases raise `NotFoundError` if the kind or the file does not exist, `PreconditionError` if it has another version,
and `BodyError` if its name is not an id, or its text has an invalid character.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.errors import BodyError, BodyProblem, NotFoundError
from tiergate.naming import ID_RULE, is_id
from tiergate.store.policy_files import (
    RULE_KINDS,
    PolicyFile,
    find_policy_file,
    policy_files,
    put_policy_file,
    remove_files,
)

if TYPE_CHECKING:
    from tiergate.admin.precondition import Precondition
    from tiergate.store import ReadUnit, WriteUnit

_KIND = "file of the rules"


def list_rule_files(unit: ReadUnit) -> list[PolicyFile]:
    """List the drafted files."""
    return [file for file in policy_files(unit.session) if file.kind in RULE_KINDS]


def get_rule_file(unit: ReadUnit, kind: str, name: str) -> PolicyFile:
    """Read a drafted file."""
    _check_kind(kind)
    return find_policy_file(unit.session, kind, name)


def put_rule_file(unit: WriteUnit, kind: str, name: str, text: str, expected: Precondition) -> tuple[PolicyFile, bool]:
    """Replace a drafted file, or create it. Return it, and whether it is new."""
    _check_kind(kind)
    if not is_id(name):
        raise BodyError([BodyProblem("", "bad-id", f"the name of a file of the rules {ID_RULE}")])
    if "\x00" in text:
        raise BodyError([BodyProblem("/text", "bad-character", "has a character that text cannot have")])
    try:
        before = find_policy_file(unit.session, kind, name)
    except NotFoundError:
        before = None
    expected.check(_KIND, f"{kind}/{name}", 0 if before is None else before.etag)
    after = put_policy_file(unit, kind, name, text)
    if before is None or before.etag != after.etag:
        old = None if before is None else {"text": before.text}
        unit.audit("rules.drafted", "rules", after.key, before=old, after={"text": text})
    return after, before is None


def delete_rule_file(unit: WriteUnit, kind: str, name: str, expected: Precondition) -> None:
    """Delete a drafted file of the rules."""
    before = get_rule_file(unit, kind, name)
    expected.check(_KIND, before.key, before.etag)
    remove_files(unit.session, [(kind, name)])
    unit.audit("rules.removed", "rules", before.key, before={"text": before.text})


def _check_kind(kind: str) -> None:
    if kind not in RULE_KINDS:
        raise NotFoundError("kind of rules", kind)
