"""How a request accepts a loss: by the token of the loss that was shown, never by a plain yes."""

from __future__ import annotations

from tiergate.errors import BodyError, BodyProblem
from tiergate.impact.preview.loss_token import is_loss_token

AcceptLoss = str | bool
"""The type of a body's member `accept_loss`: a token; `false`, its default, accepts nothing."""


def accepted_loss(value: AcceptLoss, at: str = "/accept_loss") -> str:
    """The token that a body gives, or nothing; `at`: where it stands.

    Raises:
        BodyError: it is `true`, which would accept any loss, or no token.
    """
    if value is False:
        return ""
    if isinstance(value, str) and is_loss_token(value):
        return value
    detail = (
        "must be the token of the loss that is accepted, such as `loss-3-6d1f…`: "
        "a dry run and the refusal `customers-would-lose` give it as `accept_loss`"
    )
    raise BodyError([BodyProblem(at, "wrong-value", detail)])
