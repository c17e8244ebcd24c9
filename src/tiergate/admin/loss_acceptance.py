"""Read how a request accepts a loss: by the token of the loss that was shown, never by `true`."""

from __future__ import annotations

from tiergate.errors import BodyError, BodyProblem
from tiergate.impact.preview.loss_token import is_loss_token

AcceptLoss = str | bool
"""The type of the member `accept_loss` of a body: a token; `false`, its default, accepts nothing."""


def parse_loss_token(value: AcceptLoss, pointer: str = "/accept_loss") -> str:
    """Return the token of a body, or ''.

    Raises:
        BodyError: the value is not a token, or `true`, which would accept any loss.
    """
    if value is False:
        return ""
    if isinstance(value, str) and is_loss_token(value):
        return value
    detail = (
        "must be the token of the accepted loss, such as `loss-3-6d1f…`: "
        "a dry run and the error `customers-would-lose` return it as `accept_loss`"
    )
    raise BodyError([BodyProblem(pointer, "wrong-value", detail)])
