"""The question of `check` and `explain`, from their arguments and options."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated

import typer

from tiergate.errors import CheckError

if TYPE_CHECKING:
    from tiergate.model import Check, Number

_MOST_DIGITS = 40

SubjectArgument = Annotated[str, typer.Argument(metavar="SUBJECT", help="A customer's id; see `--subscription`.")]
FeatureArgument = Annotated[str, typer.Argument(metavar="FEATURE", help="A feature's id.")]
IsSubscription = Annotated[bool, typer.Option("--subscription", help="SUBJECT is a subscription's id.")]
UserOption = Annotated[str | None, typer.Option("--user", metavar="ID", help="A user inside the subject.")]
AmountOption = Annotated[
    str | None, typer.Option("--amount", metavar="N", help="Quantity: how much more is wanted; default: one.")
]
UsedOption = Annotated[str | None, typer.Option("--used", metavar="N", help="Quantity: how much is used already.")]
UserUsedOption = Annotated[
    str | None, typer.Option("--user-used", metavar="N", help="Quantity: how much of that the user has used.")
]
ValueOption = Annotated[str | None, typer.Option("--value", metavar="N", help="Range: the value that is wanted.")]
LevelOption = Annotated[str | None, typer.Option("--level", metavar="LEVEL", help="Custom: the level that is wanted.")]


def question(
    subject: str,
    feature: str,
    *,
    subscription: bool,
    user: str | None,
    amount: str | None,
    used: str | None,
    user_used: str | None,
    value: str | None,
    level: str | None,
) -> Check:
    """Make the check that is asked.

    Raises:
        CheckError: a number is none.
    """
    from tiergate.model import Check, Subject, SubjectType
    from tiergate.naming import normalize_subject_id
    from tiergate.text_normalization import to_nfc

    kind = SubjectType.SUBSCRIPTION if subscription else SubjectType.CUSTOMER
    return Check(
        subject=Subject(normalize_subject_id(subject), kind, None if user is None else normalize_subject_id(user)),
        feature=feature,
        amount=_number("amount", amount),
        used=_number("used", used),
        user_used=_number("user_used", user_used),
        value=_number("value", value),
        level=None if level is None else to_nfc(level),
    )


def _number(field: str, text: str | None) -> Number | None:
    if text is None:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise CheckError(field, f"`{text}` is not a number") from None
    return int(text) if text.isascii() and text.isdigit() and len(text) < _MOST_DIGITS else number
