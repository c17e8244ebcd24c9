"""Strict validation of policy text against a schema."""

from __future__ import annotations

import re
from typing import NamedTuple

import cedarpy

from tiergate.cedar.policies import PolicySyntaxError

_POSITION = re.compile(r"for policy `policy\d+`[,:] ")


class Schema:
    """A parsed schema."""

    def __init__(self, text: str) -> None:
        """Parse schema text in Cedar's own syntax; raises `PolicySyntaxError`."""
        try:
            self.handle = cedarpy.Schema.from_str(text, release_gil=True)
        except ValueError as error:
            raise PolicySyntaxError(str(error)) from None


class ValidationError(NamedTuple):
    """What is wrong with a policy: its place in the text (`policy0` is the first; empty: the whole text)."""

    position: str
    message: str

    @property
    def place(self) -> int:
        """The place of the policy in its text, from 0; -1 for the whole text."""
        return int(self.position.removeprefix("policy")) if self.position else -1


def validate(text: str, schema: Schema) -> list[ValidationError]:
    """Validate policy text strictly; an empty list means that it is valid. Releases the GIL while Cedar works."""
    result = cedarpy.validate_policies(text, schema.handle, release_gil=True)
    if result.validation_passed:
        return []
    # The place says it; `policy7` is Cedar's name for it, not its author's.
    return [ValidationError(error.policy_id, _POSITION.sub("", error.error)) for error in result.errors] or [
        ValidationError("", "validation failed")
    ]
