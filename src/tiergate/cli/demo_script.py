"""The checks and the change of `tiergate demo`: every type of feature, and reasons of denials, on the sample."""

from __future__ import annotations

import json
import shlex
from typing import NamedTuple

from tiergate.client.check_arguments import check_json
from tiergate.impact.preview.loss_token import Loss, loss_token
from tiergate.impact.preview.subject_effects import Effect
from tiergate.model import Check, Subject


class Step(NamedTuple):
    """A question, and its check."""

    question: str
    check: Check


STORY: tuple[Step, ...] = (
    Step("A switch. Ada has Gold, which gives Analytics. May she use it?", Check(Subject("ada"), "analytics")),
    Step("Ben has Basic, which does not. May he?", Check(Subject("ben"), "analytics")),
    Step(
        "A quantity. Gold gives 50 movies a month, and Ada bought two add-ons of 10 each. "
        "She has watched 69. May she watch one more?",
        Check(Subject("ada"), "movies", amount=1, used=69),
    ),
    Step("And then another one?", Check(Subject("ada"), "movies", amount=1, used=70)),
    Step(
        "A range. Initech has A-premium on the API. May it set its limit to 800 requests a minute?",
        Check(Subject("initech"), "api-requests", value=800),
    ),
    Step("To 1000, as far as the range goes?", Check(Subject("initech"), "api-requests", value=1000)),
    Step(
        "A custom feature, with levels. Ada's Gold comes with phone support. May she chat?",
        Check(Subject("ada"), "support", level="chat"),
    ),
    Step("May she call the priority phone?", Check(Subject("ada"), "support", level="priority-phone")),
    Step("Trials. Cleo tries Platinum out: unlimited movies?", Check(Subject("cleo"), "movies", used=4711)),
    Step("Dan did too, but his trial has ended.", Check(Subject("dan"), "movies")),
    Step(
        "An override that ends. Eva has Silver, and Analytics for a pilot until its last day.",
        Check(Subject("eva"), "analytics"),
    ),
    Step(
        "A suspended feature. Watch parties are switched off for everybody, even for customers who pay for them.",
        Check(Subject("cleo"), "watch-party"),
    ),
    Step(
        "A rule of the service's own, in Cedar: nothing for those who carry the tag `sanctioned`, as Gus does.",
        Check(Subject("gus"), "movies"),
    ),
)


class Request(NamedTuple):
    """A request to the control plane, as an admin."""

    method: str
    path: str
    body: object

    def curl(self, url: str) -> str:
        """Return the command that sends it, with the admin's key in the variable `KEY`."""
        body = shlex.quote(json.dumps(self.body))
        return (
            f"curl -s -X {self.method} {url}{self.path} \\\n"
            f"     -H \"authorization: Bearer $KEY\" -H 'content-type: application/json' -d {body}"
        )


_LOSS = loss_token("ada", [Loss(Subject("ada"), "movies", Effect.LESS, None, 70, 50)])
"""The token of the loss that the change causes, as a dry run prints it."""

CHANGE: tuple[Request, ...] = (
    Request("PUT", "/v1/items/gold/draft/entitlements/movies", 30),
    Request("POST", "/v1/publish", {"note": "Gold gives 30 movies", "accept_loss": _LOSS}),
)
"""Reduce the movies of Gold: edit, then publish."""

REVERT: tuple[Request, ...] = (
    Request("PUT", "/v1/items/gold/draft/entitlements/movies", 50),
    Request("POST", "/v1/publish", {"note": "Gold gives 50 movies again"}),
)
"""Restore the movies of Gold."""

CHANGED = Step(
    "Plans change. Gold gives 30 movies from now on, for everybody who has it: edit, publish, and check again. "
    "Ada has watched 69. May she watch one more?",
    Check(Subject("ada"), "movies", amount=1, used=69),
)
"""The check whose answer changes."""


def curl(url: str, check: Check) -> str:
    """Return the command that runs a check."""
    body = shlex.quote(json.dumps(check_json(check)))
    return f"curl -s {url}/v1/check -H 'content-type: application/json' \\\n     -d {body}"
