"""Decisions in the own process, from files: for tests of services, tools and batch jobs that run without a sidecar.

    engine = EmbeddedSidecar("catalog.yaml", "subjects.yaml")
    engine.allows("ada", "movies", used=12, otherwise=False)

It answers what a sidecar with the same files answers, by the same engine, and has the questions of
:class:`tiergate.client.Sidecar`, so that a service's tests can put it in that one's place. It does not follow the
files, and counts no usage: of a metered feature, `used` is what the check says, or 0. Outcomes that a service reports
to it are forgotten.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import msgspec

from tiergate import publish
from tiergate.bundle import Bundle
from tiergate.catalog import TotalBounds, load_subjects
from tiergate.client.answers import read_answer, read_explanation, read_json
from tiergate.client.calls import expect_options
from tiergate.client.check_arguments import expect_offset, make_check, make_subject
from tiergate.client.local_checks import answer_each
from tiergate.client.local_outcomes import LocalOutcomes
from tiergate.client.normalized_ids import normalize_check, normalize_subject
from tiergate.engine import (
    Evaluator,
    build_reasoning,
    decide_all_features,
    decision_json,
    explain,
    reasoning_json,
    reasoning_sentences,
)
from tiergate.errors import CallerError, CheckError, UnknownFeatureError
from tiergate.model import SubjectType, parse_instant
from tiergate.model.features import COUNTED
from tiergate.naming import NearestNames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from tiergate.client import Answer, Explanation
    from tiergate.client.calls import CheckOptions
    from tiergate.client.check_arguments import SubjectArgument
    from tiergate.model import Check, Decision, Instant, Subject, SubjectRecord

    Paths = str | Path | Iterable[str | Path]


class EmbeddedSidecar(LocalOutcomes):
    """Decides by files that are read once. Not for several threads at once."""

    def __init__(
        self,
        catalog: Paths,
        subjects: Paths,
        rules: str | Path | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Read and compile the files, or folders of them.

        `rules`: a folder of rules. `clock`: returns the present, in seconds since 1970, as `time.time`; for tests of
        what begins or ends.

        Raises:
            AuthorError: the files have problems, which it names with their places.
        """
        compiled = publish.compile_files(_paths(catalog), None if rules is None else Path(rules))
        bundle = Bundle.from_files(compiled.files)
        records = load_subjects(_paths(subjects), bundle.index, TotalBounds.of(compiled.catalog))
        self._subjects = _Subjects(records)
        self._evaluator = Evaluator(bundle, self._subjects)
        self._names = NearestNames(bundle.index.features)
        self._clock = clock

    def check(self, subject: SubjectArgument, feature: str, **options: Unpack[CheckOptions]) -> Answer:
        """Decide whether a subject may use a feature; arguments and errors are those of `Sidecar.check`."""
        return _answer(self._decide(_check(subject, feature, options)))

    def allows(
        self, subject: SubjectArgument, feature: str, *, otherwise: bool, **options: Unpack[CheckOptions]
    ) -> bool:
        """Decide as `check` does. There is always an answer, so `otherwise` is never returned."""
        del otherwise
        return self.check(subject, feature, **options).allowed

    def checks(
        self, checks: Sequence[Check], *, request_id: str | None = None, traceparent: str | None = None
    ) -> list[Answer | CallerError]:
        """Decide several checks; a wrong check's place holds its error."""
        del request_id, traceparent
        return answer_each(checks, lambda check: _answer(self._decide(check)))

    def explain(
        self, subject: SubjectArgument, feature: str, *, at: datetime | None = None, **options: Unpack[CheckOptions]
    ) -> Explanation:
        """Explain a decision, of now or of another moment (with an offset)."""
        now = self._now() if at is None else _instant(at)
        check = normalize_check(_check(subject, feature, options))
        self._expect(check.feature)
        with _pointing():
            explanation = explain(self._evaluator, check, now)
        definition = self._evaluator.index.features[check.feature]
        reasoning = build_reasoning(explanation, definition, self._subjects.find(check.subject), check.subject)
        return read_explanation(read_json(reasoning_json(reasoning, reasoning_sentences(reasoning))))

    def entitlements(
        self,
        subject: SubjectArgument,
        *,
        features: Sequence[str] = (),
        request_id: str | None = None,
        traceparent: str | None = None,
    ) -> list[Answer]:
        """Return one answer for each feature of the catalog, or each of `features`, in the order of their ids."""
        del request_id, traceparent
        for feature in features:
            self._expect(feature)
        known = self._evaluator.index.features
        return [
            msgspec.structs.replace(_answer(decision), scale=known[name].scale if known[name].type in COUNTED else None)
            for name, decision in zip(
                known,
                decide_all_features(self._evaluator, normalize_subject(make_subject(subject)), self._now()),
                strict=True,
            )
            if not features or name in features
        ]

    def close(self) -> None:
        """Do nothing: nothing is open."""

    def _decide(self, check: Check) -> Decision:
        self._expect(check.feature)
        with _pointing():
            return self._evaluator.decide(normalize_check(check), self._now())

    def _expect(self, feature: str) -> None:
        if feature not in self._evaluator.index.features:
            raise UnknownFeatureError(feature, self._names.find(feature))

    def _now(self) -> Instant:
        return int(self._clock() * 1000)


class _Subjects:
    """A `SubjectSource` in memory."""

    def __init__(self, records: dict[str, SubjectRecord]) -> None:
        self._records = records
        self._holders = {one.id: customer for customer, record in records.items() for one in record.subscriptions}

    def find(self, subject: Subject) -> SubjectRecord | None:
        """Return the record of the customer, or of the subscription's customer; `None` if there is none."""
        customer = subject.id if subject.type is SubjectType.CUSTOMER else self._holders.get(subject.id)
        return None if customer is None else self._records.get(customer)


@contextmanager
def _pointing() -> Iterator[None]:
    """Name wrong fields by JSON Pointers, as a sidecar does."""
    try:
        yield
    except CheckError as error:
        raise CheckError(f"/{error.field.replace('.', '/')}", error.detail, error.suggestion) from None


def _check(subject: SubjectArgument, feature: str, options: CheckOptions) -> Check:
    expect_options(options)
    fields = {name: value for name, value in options.items() if name not in {"request_id", "traceparent"}}
    return make_check(subject, feature, fields)  # type: ignore[arg-type] # the values of the typed dictionary


def _instant(at: datetime) -> Instant:
    """Return a moment, floored to the millisecond as by a sidecar."""
    expect_offset(at)
    return parse_instant(at.isoformat())


def _answer(decision: Decision) -> Answer:
    return read_answer(read_json(decision_json(decision)))


def _paths(paths: Paths) -> list[Path]:
    return [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
