"""The options of `check`, `explain` and `replay` that describe a check."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from tiergate.errors import CheckError

if TYPE_CHECKING:
    from tiergate.model import Check, Number

_MOST_DIGITS = 40

SubjectArgument = Annotated[str, typer.Argument(metavar="SUBJECT", help="A customer's id; see `--subscription`.")]
FeatureArgument = Annotated[str, typer.Argument(metavar="FEATURE", help="A feature's id.")]


class CheckOptions(NamedTuple):
    """The parts of a check beside its subject and its feature."""

    amount: Annotated[
        str | None, typer.Option(metavar="N", help="Quantity: how much more is requested; default: one.")
    ] = None
    used: Annotated[str | None, typer.Option(metavar="N", help="Quantity: how much is used already.")] = None
    value: Annotated[str | None, typer.Option(metavar="N", help="Range: the requested value.")] = None
    level: Annotated[str | None, typer.Option(metavar="LEVEL", help="Custom: the requested level.")] = None
    subscription: Annotated[bool, typer.Option("--subscription", help="SUBJECT is a subscription's id.")] = False
    user: Annotated[str | None, typer.Option(metavar="ID", help="A user of the subject.")] = None
    user_used: Annotated[
        str | None, typer.Option(metavar="N", help="Quantity: how much of that the user has used.")
    ] = None

    def given(self) -> list[str]:
        """Return the names of the options that have a value."""
        return [
            name.replace("_", "-") for name, value in self._asdict().items() if value is not None and value is not False
        ]

    def check(self, subject: str, feature: str) -> Check:
        """Make the check.

        Raises:
            CheckError: if a text is not a number.
        """
        from tiergate.model import Check, Subject, SubjectType
        from tiergate.naming import normalize_subject_id
        from tiergate.text_normalization import to_nfc

        kind = SubjectType.SUBSCRIPTION if self.subscription else SubjectType.CUSTOMER
        user = None if self.user is None else normalize_subject_id(self.user)
        return Check(
            subject=Subject(normalize_subject_id(subject), kind, user),
            feature=feature,
            amount=read_number("amount", self.amount),
            used=read_number("used", self.used),
            user_used=read_number("user_used", self.user_used),
            value=read_number("value", self.value),
            level=None if self.level is None else to_nfc(self.level),
        )


def read_number(field: str, text: str | None) -> Number | None:
    """Read a number exactly; raises `CheckError` if the text is none."""
    if text is None:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise CheckError(field, f"`{text}` is not a number") from None
    return int(text) if text.isascii() and text.isdigit() and len(text) < _MOST_DIGITS else number
