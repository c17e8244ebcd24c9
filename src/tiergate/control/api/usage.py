"""The endpoints of usage: after the fact, for services that have no sidecar beside them; corrections and grants."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeVar

from tiergate.admin import usage, usage_allocation, usage_corrections, usage_grants, usage_thresholds, usage_views
from tiergate.control.api.customers import the_customer
from tiergate.control.api.problems import problem_document
from tiergate.control.api.request import AdminRequest, Response
from tiergate.control.api.request_values import MERGE_PATCH, enum_parameter
from tiergate.control.api.responses import reading
from tiergate.control.api.router import Endpoint
from tiergate.control.api.subject_requests import instant_parameter, tags_parameter
from tiergate.control.usage_metrics import UsageMetrics
from tiergate.errors import BodyError, BodyProblem, CheckError, ParameterError
from tiergate.naming import path_segment
from tiergate.permissions import Action, Resource
from tiergate.store.item_holdings import Narrowing
from tiergate.usage.accounts import Scope
from tiergate.wire.usage import CLOUD_EVENT, CLOUD_EVENTS, RecordedUsage
from tiergate.wire.usage_changes import read_correction, read_grant, read_grant_edit, read_thresholds
from tiergate.wire.usage_reader import UsageRecord, choose_key, media_type_of, read_key_header, read_records

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.store import WriteUnit
    from tiergate.store.usage_ledger import UsageLedger

_OF_CUSTOMER: Final = "/v1/customers/{customer}/usage"
_CORRECTIONS: Final = f"{_OF_CUSTOMER}/corrections"
_PERIOD: Final = ("feature", "scope", "at", "from", "until")
_SERIES: Final = ("feature", "by", "from", "until")
_ALLOCATION: Final = ("feature", "tag", "item", "at")
_GRANTS: Final = "/v1/customers/{customer}/grants"
_GRANT: Final = f"{_GRANTS}/{{grant}}"
_THRESHOLDS: Final = "/v1/customers/{customer}/thresholds"
_OF_FEATURE: Final = f"{_THRESHOLDS}/{{feature}}"

T = TypeVar("T")

USAGE_TYPES: Final = ("application/json", CLOUD_EVENT, CLOUD_EVENTS)
"""The media types of usage after the fact."""


class UsageScope(StrEnum):
    """Whose usage is listed."""

    CUSTOMER = "customer"
    SUBSCRIPTION = "subscription"
    USER = "user"


class SeriesStep(StrEnum):
    """The periods of a series."""

    HOUR = "hour"
    DAY = "day"


class UsageEndpoints:
    """The endpoints of one ledger."""

    def __init__(self, ledger: UsageLedger, metrics: UsageMetrics | None = None) -> None:
        self._ledger = ledger
        self._metrics = metrics or UsageMetrics()

    def endpoints(self) -> list[Endpoint]:
        """Return the routes."""
        view = Action.VIEW
        return [
            Endpoint("POST", "/v1/usage", Action.REPORT_USAGE, self.report, _reported, media_types=USAGE_TYPES),
            Endpoint("GET", _OF_CUSTOMER, view, self.show, the_customer, query=_PERIOD, paged=True),
            Endpoint(
                "GET", "/v1/usage/allocation", view, list_allocation, Resource.store(), query=_ALLOCATION, paged=True
            ),
            Endpoint("GET", f"{_OF_CUSTOMER}/series", view, show_series, the_customer, query=_SERIES),
            Endpoint(
                "GET", "/v1/features/{id}/usage", view, list_customers, Resource.store(), query=("order",), paged=True
            ),
            Endpoint("POST", _CORRECTIONS, Action.EDIT_ENTITLEMENT, self.correct, the_customer),
            Endpoint("GET", _GRANTS, Action.VIEW, list_grants, the_customer, query=("feature",), paged=True),
            Endpoint("POST", _GRANTS, Action.OVERRIDE, self.give, the_customer),
            Endpoint("GET", _GRANT, Action.VIEW, reading(usage_grants.read_grant), the_customer),
            Endpoint("PATCH", _GRANT, Action.EDIT_ENTITLEMENT, self.change, the_customer, media_types=MERGE_PATCH),
            Endpoint("DELETE", _GRANT, Action.EDIT_ENTITLEMENT, self.end, the_customer),
            Endpoint("GET", _THRESHOLDS, Action.VIEW, list_thresholds, the_customer, paged=True),
            Endpoint("GET", _OF_FEATURE, Action.VIEW, reading(usage_thresholds.read_thresholds), the_customer),
            Endpoint("PUT", _OF_FEATURE, Action.EDIT_CUSTOMER, self.set_thresholds, the_customer),
            Endpoint("DELETE", _OF_FEATURE, Action.EDIT_CUSTOMER, self.remove_thresholds, the_customer),
        ]

    def report(self, request: AdminRequest) -> Response:
        """Count usage after the fact: one record, several, or CloudEvents; it may exceed limits."""
        records, is_list = _read(request)
        planned = request.read(lambda unit: usage.plan_records(request.actor, unit, records))
        results = usage.book_records(self._ledger, planned)
        self._metrics.recorded(results, self._ledger.clock())
        if is_list:
            documents = [it if isinstance(it, RecordedUsage) else problem_document(it) for it in results]
            return Response.json({"results": documents})
        (result,) = results
        if not isinstance(result, RecordedUsage):
            raise result
        return Response.json(result)

    def show(self, request: AdminRequest) -> Response:
        """List the usage of a customer by windows: now, `at` an instant, or from one to another; what it came from."""
        at, start, until = (instant_parameter(request, name) for name in ("at", "from", "until"))
        if at is not None:
            if start is not None or until is not None:
                raise ParameterError("at", "cannot be given with `from` or `until`")
            start, until = at, at + 1
        scope = enum_parameter(request, "scope", UsageScope) or UsageScope.CUSTOMER
        wanted = usage_views.WantedUsage(request.query.get("feature"), Scope(scope), start, until)
        customer, bounds = request.params["customer"], self._ledger.bounds
        items, cursor = request.read(
            lambda unit: usage_views.usage_of_customer(unit, bounds, customer, wanted, request.cursor, request.limit)
        )
        return Response.page(items, cursor)

    def correct(self, request: AdminRequest) -> Response:
        """Take usage of a customer back, with a reason; a window of the past is named by an instant in it."""
        customer = request.params["customer"]
        correction = _read_body(read_correction, request)
        return request.change(
            lambda unit: Response.json(
                usage_corrections.correct_usage(request.actor, unit, self._ledger, customer, correction)
            )
        )

    def give(self, request: AdminRequest) -> Response:
        """Give a customer units of a metered feature besides the allowance, once."""
        customer = request.params["customer"]
        wanted = _read_body(read_grant, request)

        def work(unit: WriteUnit) -> Response:
            data = usage_grants.give(request.actor, unit, self._ledger, customer, wanted)
            path = f"/v1/customers/{path_segment(customer)}/grants/{data['id']}"
            return Response.json(data, 201, location=path)

        return request.change(work)

    def change(self, request: AdminRequest) -> Response:
        """Change a grant of a customer: its amount, dates, priority or reason; or top it up with `add`."""
        customer, id_ = request.params["customer"], request.params["grant"]
        edit = _read_body(read_grant_edit, request)
        return request.change(
            lambda unit: Response.json(usage_grants.change(request.actor, unit, self._ledger, customer, id_, edit))
        )

    def end(self, request: AdminRequest) -> Response:
        """End a grant of a customer now: what is left of it is lost."""
        customer, id_ = request.params["customer"], request.params["grant"]
        return request.change(
            lambda unit: Response.json(usage_grants.end(request.actor, unit, self._ledger, customer, id_))
        )

    def set_thresholds(self, request: AdminRequest) -> Response:
        """Give a customer thresholds of a feature in place of the feature's; an empty list: none."""
        customer, feature = request.params["customer"], request.params["feature"]
        wanted = _read_body(read_thresholds, request)
        return request.change(
            lambda unit: Response.json(
                usage_thresholds.set_thresholds(request.actor, unit, self._ledger, customer, feature, wanted)
            )
        )

    def remove_thresholds(self, request: AdminRequest) -> Response:
        """Let the thresholds of the feature apply to a customer again."""
        customer, feature = request.params["customer"], request.params["feature"]

        def work(unit: WriteUnit) -> Response:
            usage_thresholds.remove_thresholds(request.actor, unit, self._ledger, customer, feature)
            return Response.empty()

        return request.change(work)


def _reported(request: AdminRequest) -> Resource:
    return usage.reporting_resource(request.actor.caller)


def show_series(request: AdminRequest) -> Response:
    """Return what a customer used of features, by each hour or day in UTC; periods without usage are left out."""
    features = [name for name in request.query.get("feature", "").split(",") if name]
    by = enum_parameter(request, "by", SeriesStep) or SeriesStep.DAY
    start, until = instant_parameter(request, "from"), instant_parameter(request, "until")
    customer = request.params["customer"]
    return Response.json(
        request.read(lambda unit: usage_views.usage_series(unit, customer, features, by, start, until))
    )


def list_customers(request: AdminRequest) -> Response:
    """List customers by their usage of a feature: most used, closest to the limit, largest amount, most volatile."""
    order = usage_views.usage_order(request.query.get("order"))
    place, limit, feature = request.number_cursor or 0, request.limit, request.params["id"]
    found = request.read(lambda unit: usage_views.customers_of_feature(unit, feature, order, place, limit + 1))
    return Response.page(found[:limit], str(place + limit) if len(found) > limit else None)


def list_allocation(request: AdminRequest) -> Response:
    """List by feature how much all customers may use and have used, now or `at` an instant; of a `tag` or `item`."""
    query = request.query
    wanted = usage_allocation.WantedAllocation(
        Narrowing(tags_parameter(request), query.get("item")), query.get("feature"), instant_parameter(request, "at")
    )
    items, cursor = request.read(lambda unit: usage_allocation.allocation(unit, wanted, request.cursor, request.limit))
    return Response.page(items, cursor)


def list_thresholds(request: AdminRequest) -> Response:
    """List the thresholds of a customer by feature, and which of them have fired in the current window."""
    customer = request.params["customer"]
    found = request.read(lambda unit: usage_thresholds.list_thresholds(unit, customer))
    return Response.page_of(request, found, lambda it: str(it["feature"]))


def list_grants(request: AdminRequest) -> Response:
    """List the grants of a customer, past and future ones and what rolled over too."""
    customer, feature = request.params["customer"], request.query.get("feature")
    found = request.read(lambda unit: usage_grants.list_grants(unit, customer, feature))
    return Response.page_of(request, found, lambda it: f"{it['feature']} {it['id']}")


def _read_body(read: Callable[[bytes], T], request: AdminRequest) -> T:
    try:
        return read(request.body)
    except CheckError as error:
        raise BodyError([BodyProblem(error.field, "wrong-value", error.detail, error.suggestion)]) from None


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
