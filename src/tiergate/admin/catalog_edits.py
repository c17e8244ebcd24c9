"""What edits of the working catalog share: reject contradictions, and write the audit log of items."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tiergate.errors import BodyProblem
    from tiergate.model import Item
    from tiergate.store import WriteUnit


def reject_conflicts(problems: Sequence[BodyProblem]) -> None:
    """Reject an edit if it has problems: a `ConflictError` with the code of the first one, and all of them."""
    if problems:
        located = [problem for problem in problems if problem.pointer]
        raise ConflictError(problems[0].code, "; ".join(problem.sentence for problem in problems), located)


def audit_item(
    unit: WriteUnit,
    action: str,
    item: Item,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> None:
    """Write an edit of an item to the audit log."""
    unit.audit(action, "item", item.id, before=before, after=after, customer=item.private_to or None)
