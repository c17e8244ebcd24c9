"""Read the tests of a suite about entitlements: subjects × features × requests, each cell a check.

Everything that makes a check invalid is found here, so that every case is well formed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from tiergate.catalog import Fields
from tiergate.catalog.entries.values import read_override_value
from tiergate.catalog.reading.document import Listing, Mapping, Node, shorten
from tiergate.catalog.reading.fields import find_suggestion, read_any_number, read_line, read_subject_id, read_units
from tiergate.engine import normalize_check
from tiergate.errors import CheckError
from tiergate.model import FOREVER, Check, FeatureType, Reason, Status, Subject, SubjectType
from tiergate.naming import policy_id, version_ref
from tiergate.policytest.expectations import (
    MOST_ERRORS,
    OUTCOME_KEYS,
    OVERRIDE_PREFIX,
    StatedFields,
    make_cases,
    read_allowed,
    read_expected,
)
from tiergate.policytest.status_fixtures import read_status
from tiergate.policytest.subject_fixtures import NO_USAGE, read_usage
from tiergate.policytest.suites import Case, EntitlementQuery

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from tiergate.catalog import TextReport
    from tiergate.model import Feature, Instant, Number
    from tiergate.policytest.environments import EntitlementEnvironment
    from tiergate.policytest.expectations import Cell
    from tiergate.policytest.suites import Query


ROW_KEYS: Final = OUTCOME_KEYS | {"value", "remaining", "overage", "sources", "policies", "valid_until", "errors"}
"""The keys of a row."""


class CheckRows:
    """Reads the rows of one suite."""

    def __init__(self, environment: EntitlementEnvironment, report: TextReport) -> None:
        self._environment = environment
        self._features = environment.index.features
        self._report = report

    def read(self, row: Fields, cells: Sequence[Cell]) -> StatedFields:
        """Read what a row expects of these cells."""
        stated = read_allowed(row)
        features = [self._features[id_] for id_ in dict.fromkeys(cell[1] for cell in cells)]
        if "value" in row and all(self._is_value(row, feature) for feature in features):
            stated |= {"has_value": True, "value": row.entries["value"]}
        for key in ("remaining", "overage"):
            if key in row and all(self._is_number(row, key, feature) for feature in features):
                stated[key] = row.entries[key]
        if "sources" in row:
            stated["sources"] = self._names(row, "sources", self._sources)
        if "policies" in row:
            stated["policies"] = self._names(row, "policies", self._policies)
        if "valid_until" in row:
            is_never = row.entries["valid_until"] is None
            stated["valid_until"] = FOREVER if is_never else row.instant("valid_until")
        if "errors" in row:
            stated["errors"] = row.integer("errors", 0, MOST_ERRORS)
        return stated

    def _is_value(self, row: Fields, feature: Feature) -> bool:
        """Return whether a feature can have this value; only a custom feature can be `null`, without a level."""
        node: Node = row.entries["value"]
        if node is None:
            if feature.type is FeatureType.CUSTOM:
                return True
            row.problem("value", "unfit-value", f"`{feature.id}` always has a value: write `{_nothing(feature)}`")
            return False
        return read_override_value(node, row.at("value"), feature, self._report) is not None

    def _is_number(self, row: Fields, key: str, feature: Feature) -> bool:
        node, place = row.entries[key], row.at(key)
        if feature.type is not FeatureType.QUANTITY:
            message = f"`{feature.id}` is a {feature.type.value}: only a quantity has `{key}`"
            self._report.add(place, "unfit-value", message)
            return False
        return read_units(node, place, feature.scale, self._report) is not None

    def _names(self, row: Fields, key: str, known: Collection[str]) -> tuple[str, ...]:
        """Return the names in a list, each `known`, sorted."""
        result = set()
        for node, place in row.entries_of(key):
            name = read_line(node, place, self._report)
            if name is None:
                continue
            if name not in known:
                what = "source" if key == "sources" else "policy"
                near = find_suggestion(name, known, self._report)
                self._report.add(place, f"unknown-{what}", f"no {what} `{shorten(name)}`", near)
            elif name in result:
                self._report.add(place, "duplicate-entry", f"`{shorten(name)}` is in this list twice")
            result.add(name)
        return tuple(sorted(result))

    @cached_property
    def _refs(self) -> dict[str, frozenset[str]]:
        """The features of each item version."""
        return {
            version_ref(item.kind, item.id, definition.version): frozenset(definition.entitlements)
            for item in self._environment.compiled.loaded.catalog.items.values()
            for definition in item.versions
        }

    @cached_property
    def _sources(self) -> frozenset[str]:
        """All possible sources."""
        records = self._environment.subjects.records.values()
        overrides = [override for record in records for override in record.customer.overrides]
        overrides += [
            override
            for record in records
            for subscription in record.subscriptions
            for override in subscription.overrides
        ]
        return frozenset({*self._refs, *(f"{OVERRIDE_PREFIX}{override.id}" for override in overrides)})

    @cached_property
    def _policies(self) -> frozenset[str]:
        items = (policy_id(ref, feature) for ref, features in self._refs.items() for feature in features)
        return frozenset({*items, *self._environment.engine.slices.by_id})


def _nothing(feature: Feature) -> str:
    return "false" if feature.type is FeatureType.SWITCH else "0"


CHECK_TEST_KEYS: Final = frozenset({"now", "usage", "status", "subjects", "features", "requests"})
"""The keys of an entitlement test beside those of every test."""

SUBJECT_KEYS: Final = frozenset({"name", "type", "id", "user"})
"""The keys of a subject that is more than a customer's id."""

_NUMBERS: Final = ("amount", "used", "user_used", "value")
REQUEST_KEYS: Final = frozenset({"feature", "now", "status", "level", *_NUMBERS})
"""The keys of a request."""

_AXES: Final = ("subject", "feature", "request")
_ANYBODY: Final = Subject("anybody")
_LEAST = ""


@dataclass(frozen=True, slots=True)
class _Request:
    """A request: the fields of its check, and its own feature, instant and status of the feature, if any."""

    name: str
    place: int
    fields: Fields | None = None
    feature: str | None = None
    now: Instant | None = None
    amount: Number | None = None
    used: Number | None = None
    user_used: Number | None = None
    value: Number | None = None
    level: str | None = None
    status: Status | None = None

    def check(self, subject: Subject, feature: str) -> Check:
        return Check(subject, feature, self.amount, self.used, self.user_used, self.value, self.level)


class CheckTests:
    """Reads the tests of one suite."""

    def __init__(self, environment: EntitlementEnvironment, suite: Fields, report: TextReport) -> None:
        """Read the suite's defaults for all of its tests."""
        self._environment = environment
        self._features = environment.index.features
        self._now = suite.instant("now")
        self._has_now = "now" in suite  # though it may be one that cannot be read
        self._usage = NO_USAGE
        self._report = report
        self._rows = CheckRows(environment, report)
        if "usage" in suite:
            known = {*environment.subjects.records, *environment.subjects.holders, *_subject_names(suite)}
            self._usage = read_usage(suite, self._features, known, report)
        self._status = read_status(suite, self._features, report)

    def cases(self, test: Fields) -> list[Case]:
        """Read the cases of a test."""
        now = test.instant("now") if "now" in test else self._now
        subjects, places = self._subjects(test)
        features = self._feature_ids(test)
        requests = self._requests(test)
        written = NO_USAGE
        if "usage" in test:
            names = {*subjects, *(subject.id for subject in subjects.values())}
            written = read_usage(test, self._features, names, self._report)
        usage = written.within(self._usage)
        statuses = self._status | read_status(test, self._features, self._report)
        requested = self._requested(test, features, requests)
        if now is None and "now" not in test and not self._has_now:
            self._check_instants(test, [request for _, request in requested])
        cells = {(name, feature, request.name): request for name in subjects for feature, request in requested}
        expected = read_expected(test, _AXES, list(cells), ROW_KEYS, self._rows.read, self._report) if cells else {}
        strangers = {cell[0] for cell, (it, _) in expected.items() if it.reason is Reason.UNKNOWN_SUBJECT}
        if cells:  # without any, whether a row expects a stranger is not known
            self._check_strangers(subjects, places, strangers)
        queries: dict[Cell, Query] = {}
        for cell, request in cells.items():
            name, feature, _ = cell
            subject = subjects[name]
            known_usage = usage.of(name, subject, self._features[feature])
            status = request.status or statuses.get(feature, Status.OPERATIONAL)
            check = request.check(subject, feature)
            queries[cell] = EntitlementQuery(check, request.now or now or 0, known_usage, status)
        return make_cases(queries, expected, test, self._report)

    def _subjects(self, test: Fields) -> tuple[dict[str, Subject], dict[str, int]]:
        """Return the subjects of a test by their names, and their places."""
        result: dict[str, Subject] = {}
        places: dict[str, int] = {}
        if "subjects" not in test:
            self._report.add(test.place, "missing-key", "the key `subjects` is missing")
        for node, place in test.entries_of("subjects"):
            if isinstance(node, Mapping):
                name, subject = self._subject(node, place)
            else:
                name = read_subject_id(node, place, self._report) or ""
                subject = Subject(name)
            if name in result:
                self._report.add(place, "duplicate-name", f"the subject `{shorten(name)}` is in this list twice")
            elif name:
                result[name] = subject
                places[name] = place
        return result, places

    def _subject(self, node: Mapping, place: int) -> tuple[str, Subject]:
        fields = Fields.of(node, place, self._report, SUBJECT_KEYS, ("id",))
        if fields is None:
            return "", Subject("")
        id_, user = fields.subject_id("id"), fields.subject_id("user")
        type_ = fields.choice("type", SubjectType) or SubjectType.CUSTOMER
        name = fields.line("name") if "name" in fields else id_ or ""
        return name, Subject(id_ or "", type_, user)

    def _check_strangers(self, subjects: dict[str, Subject], places: dict[str, int], meant: set[str]) -> None:
        """Report an unknown subject, unless a row expects that it is unknown.

        Otherwise everything would be denied to it, as expected, and nothing would be tested.
        """
        known = self._environment.subjects
        for name, subject in subjects.items():
            if name in meant or known.find(subject) is not None:
                continue
            ids = known.records if subject.type is SubjectType.CUSTOMER else known.holders
            near = find_suggestion(subject.id, ids, self._report)
            message = f"no {subject.type.value} `{subject.id}` (if it is meant, state `reason: unknown_subject`)"
            self._report.add(places[name], "unknown-subject", message, near)

    def _feature_ids(self, test: Fields) -> list[str]:
        ids = []
        for id_, place in test.ids("features"):
            if id_ in self._features:
                ids.append(id_)
            else:
                self._unknown_feature(id_, place)
        return ids

    def _unknown_feature(self, id_: str, place: int) -> None:
        near = find_suggestion(id_, self._features, self._report)
        self._report.add(place, "unknown-feature", f"no feature `{shorten(id_)}`", near)

    def _requests(self, test: Fields) -> list[_Request]:
        requests = test.mapping("requests")
        if requests is None:
            return []
        valid = []
        for name in requests.entries:
            place = requests.key_place(name)
            if read_line(name, place, self._report) is None:
                continue
            fields = Fields.of(requests.entries[name], requests.at(name), self._report, REQUEST_KEYS)
            if fields is not None:
                valid.append(self._request(name, place, fields))
        return valid

    def _request(self, name: str, place: int, fields: Fields) -> _Request:
        feature = fields.id("feature")
        if feature is not None and feature not in self._features:
            self._unknown_feature(feature, fields.at("feature"))
        amount, used, user_used, value = [
            read_any_number(fields.entries[key], fields.at(key), self._report) if key in fields else None
            for key in _NUMBERS
        ]
        level = read_line(fields.entries["level"], fields.at("level"), self._report) if "level" in fields else None
        now, status = fields.instant("now"), fields.choice("status", Status)
        return _Request(name, place, fields, feature, now, amount, used, user_used, value, level, status)

    def _requested(self, test: Fields, features: list[str], requests: list[_Request]) -> list[tuple[str, _Request]]:
        """Pair features and requests: requests without a feature, else the least one, go with every feature."""
        crossed: list[_Request] = [
            value for value in requests if value.fields is not None and "feature" not in value.fields
        ]
        least = [] if crossed else [_Request(_LEAST, 0)]
        query = [(feature, request) for feature in features for request in crossed or least]
        query += [
            (entry.feature, entry)
            for entry in requests
            if entry.feature is not None and entry.feature in self._features
        ]
        if "features" not in test:
            for request in crossed:
                message = f"`{shorten(request.name)}` names no `feature`, and the test has no `features`"
                self._report.add(request.place, "missing-key", message)
        for feature, request in query:
            self._check_request(feature, request)
        return query

    def _check_request(self, feature: str, request: _Request) -> None:
        """Report a request that does not fit a feature's type.

        Rows may still name it, so that it causes no second problem.
        """
        try:
            normalize_check(request.check(_ANYBODY, feature), self._features)
        except CheckError as error:
            fields = request.fields
            place = fields.at(error.field) if fields is not None and error.field in fields else request.place
            detail = error.detail if feature in error.detail else f"`{error.field}` of `{feature}` {error.detail}"
            message = f"`{shorten(request.name)}` cannot be asked: {detail}"
            self._report.add(place, "unfit-request", message, error.suggestion)

    def _check_instants(self, test: Fields, query: list[_Request]) -> None:
        if all(request.fields is not None and "now" in request.fields for request in query):
            return
        message = "has no `now`, and its suite has none either: a test needs a fixed instant"
        self._report.add(test.place, "missing-now", message)


def _subject_names(suite: Fields) -> Iterator[str]:
    """Yield the names of the subjects of all tests, even of invalid ones."""
    tests = suite.entries.get("tests")
    for test in tests.entries if isinstance(tests, Listing) else ():
        subjects = test.entries.get("subjects") if isinstance(test, Mapping) else None
        for subject in subjects.entries if isinstance(subjects, Listing) else ():
            name = subject.entries.get("name") if isinstance(subject, Mapping) else subject
            if isinstance(name, str):
                yield name
