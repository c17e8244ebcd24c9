"""Ids as a sidecar has them: those of customers, subscriptions and users in the normal form C."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.naming import normalize_subject_id

if TYPE_CHECKING:
    from tiergate.model import Check, Subject


def normalize_subject(subject: Subject) -> Subject:
    """Return a subject with normalized ids."""
    user = None if subject.user is None else normalize_subject_id(subject.user)
    return replace(subject, id=normalize_subject_id(subject.id), user=user)


def normalize_check(check: Check) -> Check:
    """Return a check with the normalized ids of its subject."""
    return replace(check, subject=normalize_subject(check.subject))
