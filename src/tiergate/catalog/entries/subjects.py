"""Read one customer or subscription of a subjects file, checked against the catalog."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tiergate.catalog.checks.incompatible_changes import new_violations
from tiergate.catalog.checks.item_combinations import ItemCompatibility
from tiergate.catalog.entries.features import read_period
from tiergate.catalog.entries.items import MAX_VERSION
from tiergate.catalog.entries.metadata import read_attributes, read_external_ids, read_metadata
from tiergate.catalog.entries.subscription_term import read_term
from tiergate.catalog.entries.values import read_override_value
from tiergate.catalog.reading.document import BROKEN, Mapping, Node, shorten
from tiergate.catalog.reading.fields import Fields, find_suggestion
from tiergate.model import (
    MAX_TOTAL_UNITS,
    Customer,
    Override,
    OverrideMode,
    Subscription,
    SubscriptionItem,
    SubscriptionStatus,
    Suspension,
    format_instant,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tiergate.catalog.checks.overflow_checks import TotalBounds
    from tiergate.catalog.reading.problem_report import Report
    from tiergate.model import CatalogIndex, Instant

MAX_QUANTITY = 10**15
"""Largest quantity of one item in a subscription."""

CUSTOMER_KEYS = frozenset({"id", "name", "tags", "attributes", "metadata", "external_ids", "overrides", "suspensions"})
SUBSCRIPTION_KEYS = frozenset(
    {
        *("id", "customer", "status", "items", "term", "metadata", "external_ids", "overrides", "suspensions"),
        *("start", "end", "trial_end", "grace_until", "resume_at", "resumes_as"),
    }
)
_REQUIRED = ("id", "customer", "status", "items")
_ITEM_KEYS = frozenset({"item", "quantity", "version", "added_at", "from", "until"})
_OVERRIDE_KEYS = frozenset({"id", "feature", "mode", "value", "from", "until", "author", "reason"})
_SUSPENSION_KEYS = frozenset({"feature", "from", "until", "reason"})
_TYPED_CUSTOMER_KEYS = CUSTOMER_KEYS | {"type"}
_TYPED_SUBSCRIPTION_KEYS = SUBSCRIPTION_KEYS | {"type"}
_MOST_SHARED = 10_000
RESUMED = {
    SubscriptionStatus.ACTIVE: "",
    SubscriptionStatus.TRIALING: "trial_end",
    SubscriptionStatus.PAST_DUE: "",
    SubscriptionStatus.CANCELED: "end",
}
"""The statuses to which a paused subscription may return, each with the date that it needs."""
_DATES = ("start", "end", "trial_end", "grace_until", "resume_at")


class SubjectReader:
    """Reads customers and subscriptions of one catalog. `typed`: each has a key `type`, as in NDJSON."""

    def __init__(
        self,
        index: CatalogIndex,
        bounds: TotalBounds,
        *,
        compatibility: ItemCompatibility | None = None,
        previous_items: Callable[[str], Sequence[SubscriptionItem]] | None = None,
        as_of_until: Instant | None = None,
    ) -> None:
        """`compatibility`: that of the index's items, to reuse; `previous_items`, `as_of_until`: see `beside`."""
        self._index = index
        self._bounds = bounds
        self._compatibility = ItemCompatibility(index) if compatibility is None else compatibility
        self._shared: dict[tuple[str, Node], SubscriptionItem] = {}
        self._previous_items = previous_items
        self._as_of_until = as_of_until

    def beside(
        self, previous_items: Callable[[str], Sequence[SubscriptionItem]], *, as_of_until: Instant | None = None
    ) -> SubjectReader:
        """Return a reader for changes of existing subscriptions.

        `previous_items` returns a subscription's items by its id; their violations are not reported again.
        `as_of_until`: lines may have `as_of`, up to this instant.
        """
        return SubjectReader(
            self._index,
            self._bounds,
            compatibility=self._compatibility,
            previous_items=previous_items,
            as_of_until=as_of_until,
        )

    def customer(self, node: Node, place: int, report: Report, *, typed: bool = False) -> Customer | None:
        """Read a customer; `None` after any problem."""
        before = report.count
        known = self._typed(_TYPED_CUSTOMER_KEYS) if typed else CUSTOMER_KEYS
        fields = Fields.of(node, place, report, known, ("id",))
        if fields is None:
            return None
        self._check_as_of(fields)
        id_ = fields.subject_id("id")
        entries = fields.entries
        customer = Customer(
            id_ or "",
            fields.tags("tags") if "tags" in entries else (),
            read_attributes(fields, report) if "attributes" in entries else {},
            self._overrides(fields, report) if "overrides" in entries else (),
            self._suspensions(fields, report) if "suspensions" in entries else (),
            fields.line("name") if "name" in entries else "",
            read_metadata(fields, report) if "metadata" in entries else {},
            read_external_ids(fields, report) if "external_ids" in entries else {},
        )
        return customer if report.count == before else None

    def subscription(self, node: Node, place: int, report: Report, *, typed: bool = False) -> Subscription | None:
        """Read a subscription; `None` after any problem. Does not check that its customer exists."""
        before = report.count
        known = self._typed(_TYPED_SUBSCRIPTION_KEYS) if typed else SUBSCRIPTION_KEYS
        fields = Fields.of(node, place, report, known, _REQUIRED)
        if fields is None:
            return None
        self._check_as_of(fields)
        id_, customer = fields.subject_id("id"), fields.subject_id("customer")
        status = fields.choice("status", SubscriptionStatus)
        entries = fields.entries
        start, end, trial_end, grace_until, resume_at = [
            fields.instant(key) if key in entries else None for key in _DATES
        ]
        for key, instant in (("end", end), ("trial_end", trial_end), ("grace_until", grace_until)):
            if instant is not None and start is not None and instant < start:
                fields.problem(key, "empty-period", f"`{key}` must not be earlier than `start`")
        self._check_dates(fields, status, end, trial_end, report)
        items = self._items(fields, id_, customer, report)
        subscription = Subscription(
            id_ or "",
            customer or "",
            status or SubscriptionStatus.EXPIRED,
            items,
            start,
            end,
            trial_end,
            grace_until,
            resume_at,
            self._overrides(fields, report) if "overrides" in entries else (),
            self._suspensions(fields, report) if "suspensions" in entries else (),
            self._resumes_as(fields, status, report) if "resumes_as" in entries else None,
            read_term(fields, start, report) if "term" in entries else None,
            read_metadata(fields, report) if "metadata" in entries else {},
            read_external_ids(fields, report) if "external_ids" in entries else {},
        )
        if report.count > before:
            return None
        if self._bounds.cheap(subscription) > MAX_TOTAL_UNITS:
            for message in self._bounds.excess([subscription]):
                fields.problem("items", "total-too-large", message)
        return subscription if report.count == before else None

    @staticmethod
    def _check_dates(
        fields: Fields,
        status: SubscriptionStatus | None,
        end: Instant | None,
        trial_end: Instant | None,
        report: Report,
    ) -> None:
        if status is SubscriptionStatus.TRIALING and trial_end is None and "trial_end" not in fields:
            report.add(fields.place, "missing-date", "a subscription that is `trialing` needs `trial_end`")
        if status is SubscriptionStatus.CANCELED and end is None and "end" not in fields:
            report.add(fields.place, "missing-date", "a subscription that is `canceled` needs `end`")

    @staticmethod
    def _resumes_as(fields: Fields, status: SubscriptionStatus | None, report: Report) -> SubscriptionStatus | None:
        """Return the status to which a paused subscription returns."""
        resumed = fields.choice("resumes_as", SubscriptionStatus)
        if resumed is None or status is None:
            return None
        if status is not SubscriptionStatus.PAUSED:
            message = f"only a subscription that is `paused` has `resumes_as`, and this one is `{status.value}`"
            report.add(fields.key_place("resumes_as"), "key-conflict", message)
        elif resumed not in RESUMED:
            listed = ", ".join(f"`{entry.value}`" for entry in RESUMED)
            fields.problem("resumes_as", "unknown-word", f"must be one of {listed}, not `{resumed.value}`")
        elif RESUMED[resumed] and RESUMED[resumed] not in fields:
            message = f"a subscription that resumes as `{resumed.value}` needs `{RESUMED[resumed]}`"
            report.add(fields.place, "missing-date", message)
        else:
            return resumed
        return None

    def _typed(self, keys: frozenset[str]) -> frozenset[str]:
        return keys if self._as_of_until is None else keys | {"as_of"}

    def _check_as_of(self, fields: Fields) -> None:
        """Check that `as_of` is not in the future; the reader of the lines reads it again."""
        if self._as_of_until is None or "as_of" not in fields:
            return
        as_of = fields.instant("as_of")
        if as_of is not None and as_of > self._as_of_until:
            message = f"must not be later than {format_instant(self._as_of_until)}, by the store's clock"
            fields.problem("as_of", "as-of-ahead", message)

    def _items(
        self, fields: Fields, id_: str | None, customer: str | None, report: Report
    ) -> tuple[SubscriptionItem, ...]:
        before = report.count
        entries = fields.entries_of("items")
        result: list[SubscriptionItem] = []
        for node, place in entries:
            entry = self.subscription_item(node, place, report)
            if entry is not None:
                result.append(entry)
        if report.count == before:
            previous = None if self._previous_items is None or id_ is None else partial(self._previous_items, id_)
            for at, code, message, _ in new_violations(
                self._compatibility, self._index.items, result, previous, customer
            ):
                report.add(entries[at][1], code, message)
        return tuple(result)

    def subscription_item(self, node: Node, place: int, report: Report) -> SubscriptionItem | None:
        """Read one item of a subscription; the common ones, with an item and perhaps a quantity only, are shared."""
        entries = node.entries if isinstance(node, Mapping) else {}
        item, quantity = entries.get("item"), entries.get("quantity", 1)
        if len(entries) != 1 + ("quantity" in entries) or not isinstance(item, str) or quantity.__class__ is not int:
            return self._read_item(node, place, report)
        key = (item, quantity)
        result = self._shared.get(key)
        if result is None:
            result = self._read_item(node, place, report)
            if result is not None and len(self._shared) < _MOST_SHARED:
                self._shared[key] = result
        return result

    def _read_item(self, node: Node, place: int, report: Report) -> SubscriptionItem | None:
        fields = Fields.of(node, place, report, _ITEM_KEYS, ("item",))
        if fields is None:
            return None
        entries = fields.entries
        item = fields.id("item")
        if item is not None and item not in self._index.items:
            near = find_suggestion(item, self._index.items, report)
            fields.problem("item", "unknown-item", f"no item `{item}`", near)
            item = None
        quantity = fields.integer("quantity", 1, MAX_QUANTITY) if "quantity" in entries else 1
        version = fields.integer("version", 1, MAX_VERSION)
        added_at = fields.instant("added_at")
        start, until = read_period(fields, may_be_empty=True)
        if item is None or quantity is None:
            return None
        return SubscriptionItem(item, quantity, version, added_at, start, until)

    def _overrides(self, fields: Fields, report: Report) -> tuple[Override, ...]:
        result: list[Override] = []
        ids: dict[str, int] = {}
        counts: dict[str, int] = {}
        for node, place in fields.entries_of("overrides"):
            override = self.override(node, place, report, counts)
            if override is None:
                continue
            if override.id in ids:
                report.add(
                    place, "duplicate-id", f"the override `{override.id}` exists already, as entry {ids[override.id]}"
                )
            ids.setdefault(override.id, len(ids) + 1)
            result.append(override)
        return tuple(result)

    def override(self, node: Node, place: int, report: Report, counts: dict[str, int]) -> Override | None:
        """Read an override; `counts`, of earlier overrides by feature, numbers one without id."""
        fields = Fields.of(node, place, report, _OVERRIDE_KEYS, ("feature",))
        if fields is None:
            return None
        id_, feature = fields.id("id"), self._feature(fields, report)
        mode = fields.choice("mode", OverrideMode) or OverrideMode.REPLACE
        start, until = read_period(fields)
        author, reason = fields.line("author"), fields.prose("reason")
        value = None
        if mode is OverrideMode.DISABLED:
            if "value" in fields:
                fields.problem("value", "key-conflict", "an override that is `disabled` takes no `value`")
        elif "value" not in fields:
            report.add(place, "missing-key", "the key `value` is missing")
        elif feature is not None:
            value = read_override_value(
                fields.entries["value"],
                fields.at("value"),
                self._index.features[feature],
                report,
                mode,
            )
        if feature is None:
            return None
        counts[feature] = counts.get(feature, 0) + 1
        return Override(id_ or f"{feature}-{counts[feature]}", feature, mode, value, start, until, author, reason)

    def _suspensions(self, fields: Fields, report: Report) -> tuple[Suspension, ...]:
        read = (self.suspension(node, place, report) for node, place in fields.entries_of("suspensions"))
        return tuple(suspension for suspension in read if suspension is not None)

    def suspension(self, node: Node, place: int, report: Report) -> Suspension | None:
        """Read a suspension of one feature for the subject; `None` without a valid feature."""
        fields = Fields.of(node, place, report, _SUSPENSION_KEYS, ("feature",))
        if fields is None:
            return None
        feature = self._feature(fields, report)
        start, until = read_period(fields)
        reason = fields.prose("reason")
        return None if feature is None else Suspension(feature, start, until, reason)

    def _feature(self, fields: Fields, report: Report) -> str | None:
        id_ = fields.entries.get("feature", BROKEN)
        if isinstance(id_, str) and id_ in self._index.features:
            return id_
        id_ = fields.id("feature")
        if id_ is not None:
            near = find_suggestion(id_, self._index.features, report)
            fields.problem("feature", "unknown-feature", f"no feature `{shorten(id_)}`", near)
        return None
