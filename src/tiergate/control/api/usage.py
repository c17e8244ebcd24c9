"""The endpoints of usage: after the fact, for services that have no sidecar beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.admin import usage
from tiergate.control.api.problems import problem_document
from tiergate.control.api.request import AdminRequest, Response
from tiergate.control.api.router import Endpoint
from tiergate.errors import BodyError, BodyProblem, CheckError
from tiergate.permissions import Action, Resource
from tiergate.wire.usage import CLOUD_EVENT, CLOUD_EVENTS, RecordedUsage
from tiergate.wire.usage_reader import UsageRecord, choose_key, media_type_of, read_key_header, read_records

if TYPE_CHECKING:
    from tiergate.store.usage_ledger import UsageLedger

USAGE_TYPES: Final = ("application/json", CLOUD_EVENT, CLOUD_EVENTS)
"""The media types of usage after the fact."""


class UsageEndpoints:
    """The endpoints of one ledger."""

    def __init__(self, ledger: UsageLedger) -> None:
        self._ledger = ledger

    def endpoints(self) -> list[Endpoint]:
        """Return the routes."""
        return [
            Endpoint("POST", "/v1/usage", Action.REPORT_USAGE, self.report, Resource.store(), media_types=USAGE_TYPES)
        ]

    def report(self, request: AdminRequest) -> Response:
        """Count usage after the fact: one record, several, or CloudEvents; it may exceed limits."""
        records, is_list = _read(request)
        planned = request.read(lambda unit: usage.plan_records(request.actor, unit, records))
        results = usage.book_records(self._ledger, planned)
        if is_list:
            documents = [it if isinstance(it, RecordedUsage) else problem_document(it) for it in results]
            return Response.json({"results": documents})
        (result,) = results
        if not isinstance(result, RecordedUsage):
            raise result
        return Response.json(result)


def _read(request: AdminRequest) -> tuple[list[UsageRecord | CheckError], bool]:
    """Read the records of a body, and whether there may be several."""
    media_type = media_type_of([request.headers.get("content-type", "application/json").encode()])
    try:
        records, is_list = read_records(request.body, media_type or "application/json")
        header = request.headers.get("idempotency-key")
        if header is not None:
            records = _with_key(records, header, is_list=is_list)
    except CheckError as error:
        raise BodyError([BodyProblem(error.field, "wrong-value", error.detail, error.suggestion)]) from None
    return records, is_list


def _with_key(records: list[UsageRecord | CheckError], header: str, *, is_list: bool) -> list[UsageRecord | CheckError]:
    """Return the one record of a request with the key of its header."""
    key = read_key_header([header.encode("latin-1")])
    (record,) = records if not is_list else (None,)
    if not isinstance(record, UsageRecord) or record.source:
        raise CheckError("Idempotency-Key", "is for one record; events, and each of several records, have own keys")
    return [record._replace(key=choose_key(key, record.key))]
