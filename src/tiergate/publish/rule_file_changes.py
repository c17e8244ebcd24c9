"""Changes of the files of rules and roles: between two texts of each, by kind and name (`policies/eu`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.publish.catalog_change import differing_ids
from tiergate.store.policy_files import put_policy_file, remove_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.store import WriteUnit


def find_file_changes(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str | None]:
    """Return the new text of each file that changes, in the order of the keys; `None`: it is removed."""
    return {key: after.get(key) for key in sorted(differing_ids(before, after))}


def write_file_changes(unit: WriteUnit, changes: Mapping[str, str | None]) -> None:
    """Write changes into the working state."""
    for key, text in changes.items():
        kind, _, name = key.partition("/")
        if text is None:
            remove_files(unit.session, [(kind, name)])
        else:
            put_policy_file(unit, kind, name, text)
