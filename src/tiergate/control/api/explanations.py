"""Why a check is decided as it is, or was at a moment: `POST /v1/explain`, asked as a sidecar and answered alike.

It decides by what the store said at that moment, which a sidecar may have heard a little later, and by no usage but
what the check says. What a sidecar itself decided on is for its decision log to say, and for `replays` to make again.
"""

from __future__ import annotations

import msgspec

from tiergate.control.api.replays import NOBODYS, Question, made_again, whom, wrong
from tiergate.control.api.request import AdminRequest, Answer
from tiergate.control.api.router import Endpoint
from tiergate.engine import reasoning_sentences
from tiergate.errors import CheckError, RequestError
from tiergate.permissions import Action, Resource
from tiergate.publish.bundle_cache import BundleCache
from tiergate.wire.check_reader import read_check_at


def endpoints() -> list[Endpoint]:
    """The route."""
    revisions = BundleCache()

    def explain(request: AdminRequest) -> Answer:
        """Explain how a check is decided now, or was `at` a moment: the reasoning as data and in sentences."""
        return _explain(revisions, request)

    return [Endpoint("POST", "/v1/explain", Action.VIEW, explain, _whom)]


def _whom(request: AdminRequest) -> Resource:
    """The customer or subscription of the check; nobody's where that cannot be read."""
    try:
        check, _ = read_check_at(request.body)
    except (CheckError, RequestError):
        return NOBODYS
    return whom(request, check.subject)


def _explain(revisions: BundleCache, request: AdminRequest) -> Answer:
    try:
        check, at = read_check_at(request.body)
    except CheckError as error:
        raise wrong(error.field, error.detail, error.suggestion) from None
    past, _, reasoning = made_again(revisions, request, Question(check, request.body, at))
    members = msgspec.structs.asdict(reasoning)
    return Answer.json(
        {
            **members,
            "sentences": reasoning_sentences(reasoning),
            "position": past.found.position,
            "redacted": past.found.redacted,
        }
    )
