"""From documents to engines, all the way that files go: written, loaded, compiled, opened."""

from __future__ import annotations

import json
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tiergate.bundle import Bundle
from tiergate.catalog import TotalBounds, load_catalog, load_subjects
from tiergate.compiler import compile_catalog
from tiergate.engine import CacheLimits, Evaluator, decision_json
from tiergate.model import Catalog, Check, Decision, Rules, Subject, SubjectRecord, SubjectType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.properties.documents import Document

_ENCODER = msgspec.json.Encoder(decimal_format="number")


def text_of(document: Document) -> bytes:
    """A document as the JSON file that says it, its decimals exact."""
    return _ENCODER.encode(document)


class Subjects:
    """Subjects in memory."""

    def __init__(self, records: Mapping[str, SubjectRecord]) -> None:
        self.records = dict(records)
        self.asked = 0

    def find(self, subject: Subject) -> SubjectRecord | None:
        """The record of a customer, or of the customer who holds a subscription."""
        self.asked += 1
        if subject.type is SubjectType.CUSTOMER:
            return self.records.get(subject.id)
        for record in self.records.values():
            if any(it.id == subject.id for it in record.subscriptions):
                return record
        return None


class World:
    """A catalog and its subjects, loaded and compiled."""

    def __init__(self, catalog: Document, subjects: Document, rules: Mapping[str, str] | None = None) -> None:
        with tempfile.TemporaryDirectory() as folder:
            catalog_file, subjects_file = Path(folder, "catalog.json"), Path(folder, "subjects.json")
            catalog_file.write_bytes(text_of(catalog))
            subjects_file.write_bytes(text_of(subjects))
            self.catalog: Catalog = load_catalog([catalog_file]).catalog
            bounds = TotalBounds.of(self.catalog)
            files = compile_catalog(self.catalog, Rules())
            # Rules are put in as they stand: the compiler would refuse some that are worth evaluating.
            files |= {f"policies/rules/{name}.cedar": text.encode() for name, text in (rules or {}).items()}
            self.bundle = Bundle.from_files(files)
            self.records = load_subjects([subjects_file], self.bundle.index, bounds)

    def engine(
        self, *, limits: CacheLimits | None = None, records: Mapping[str, SubjectRecord] | None = None
    ) -> Evaluator:
        """A new engine over this world, or over other records of its subjects."""
        return Evaluator(self.bundle, Subjects(self.records if records is None else records), limits=limits)


def check_of(ask: Document) -> Check:
    """A check as the engine takes it."""
    subject = ask["subject"]
    if isinstance(subject, str):
        read = Subject(subject)
    else:
        read = Subject(subject["id"], SubjectType(subject["type"]), subject.get("user"))
    return Check(read, **{key: value for key, value in ask.items() if key != "subject"})


def answered(decision: Decision) -> dict[str, Any]:
    """A decision as a client reads it, its numbers exact."""
    found: dict[str, Any] = json.loads(decision_json(decision), parse_float=Decimal)
    return found
