"""Read rollouts from JSON: which customers get which version, and from when on; and the notes of publications.

All functions raise `BodyError` if a value is invalid; `at`: the JSON pointer of the value.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from tiergate.errors import BodyError, BodyProblem
from tiergate.model import Audience, AudienceType, Rollout, parse_instant
from tiergate.model.items import SHARE_STEPS
from tiergate.naming import is_id
from tiergate.publish.rollouts import RolloutTarget

if TYPE_CHECKING:
    from tiergate.model import Instant

_MAX_NOTE: Final = 10_000


class AudienceBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The audience of a rollout: a share of the customers, or a tag."""

    share: Decimal | None = None
    tag: str | None = None


class RolloutTargetBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The customers who get a version, and from when on."""

    audience: AudienceBody | Literal["everybody", "new"] = "everybody"
    start: str | None = msgspec.field(default=None, name="from")

    def target(self, at: str) -> RolloutTarget:
        """Return the target; `at`: its JSON pointer, for errors."""
        return RolloutTarget(_audience(self.audience, f"{at}/audience"), read_instant(self.start, f"{at}/from"))


class RolloutBody(RolloutTargetBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A rollout of a version."""

    version: int

    def rollout(self, at: str, now: Instant) -> Rollout:
        """Return the rollout; raises as `target`."""
        return self.target(at).rollout(self.version, now)


def _audience(body: AudienceBody | str, at: str) -> Audience:
    if isinstance(body, str):
        return Audience(AudienceType(body))
    if (body.share is None) == (body.tag is None):
        raise BodyError([BodyProblem(at, "key-conflict", "an audience has either `share` or `tag`")])
    if body.tag is not None:
        if not is_id(body.tag):
            raise BodyError([BodyProblem(f"{at}/tag", "bad-id", f"`{body.tag[:100]}` is not a tag")])
        return Audience(AudienceType.TAG, tag=body.tag)
    share = Decimal(0) if body.share is None else body.share
    steps = share * (SHARE_STEPS // 100) if share.is_finite() else Decimal(-1)
    if not 0 < steps <= SHARE_STEPS or steps != steps.to_integral_value():
        message = "must be a percentage above 0 and up to 100, of at most two decimal digits"
        raise BodyError([BodyProblem(f"{at}/share", "bad-number", message)])
    return Audience(AudienceType.SHARE, share=int(steps))


def read_instant(text: str | None, at: str) -> Instant | None:
    """Parse an instant, if there is one; `at`: its JSON pointer."""
    if text is None:
        return None
    try:
        return parse_instant(text)
    except ValueError as error:
        raise BodyError([BodyProblem(at, "bad-instant", f"`{text[:100]}` {error}")]) from None


def check_note(text: str, at: str = "/note") -> None:
    """Check a note or a reason."""
    if len(text) > _MAX_NOTE or "\x00" in text:
        raise BodyError([BodyProblem(at, "bad-text", f"must be text of at most {_MAX_NOTE} characters")])
