from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from benchmarks.workload import Size, check_bodies, lua_batches, lua_checks, write_catalog, write_subjects
from tiergate.bundle import Bundle
from tiergate.catalog import TotalBounds, load_subjects
from tiergate.engine import Evaluator
from tiergate.model import Reason
from tiergate.publish import compile_files
from tiergate.wire.check_reader import read_check

if TYPE_CHECKING:
    from pathlib import Path

    from tiergate.model import Subject, SubjectRecord

SIZE = Size(features=8, plans=5, customers=40)


def load(folder: Path) -> tuple[Bundle, dict[str, SubjectRecord]]:
    """Compile the generated catalog, and load the generated subjects; any problem is an error."""
    write_catalog(folder / "catalog.yaml", SIZE.features, SIZE.plans)
    write_subjects(folder / "subjects.ndjson", SIZE.customers, SIZE.plans)
    made = compile_files([folder / "catalog.yaml"])
    bundle = Bundle.from_files(made.files)
    return bundle, load_subjects([folder / "subjects.ndjson"], bundle.index, TotalBounds.of(made.catalog))


def test_the_generated_subjects_fit_the_generated_catalog(tmp_path: Path) -> None:
    """Nothing is in quarantine: every customer is loaded, some with several plans."""
    _, records = load(tmp_path)
    assert len(records) == SIZE.customers
    assert {len(record.subscriptions[0].items) for record in records.values()} == {1, 2, 3}


def test_the_generated_checks_are_granted_and_denied(tmp_path: Path) -> None:
    """Every check is valid, about a known customer, and not all answers are the same."""
    bundle, records = load(tmp_path)

    class Records:
        def find(self, subject: Subject) -> SubjectRecord | None:
            return records.get(subject.id)

    engine = Evaluator(bundle, Records())
    checks = [read_check(body.encode()) for body in check_bodies(SIZE, 200, 1)]
    reasons = {engine.decide(check, 1_800_000_000_000).reason for check in checks}
    assert reasons >= {Reason.GRANTED, Reason.LIMIT_REACHED, Reason.OUT_OF_RANGE}
    assert Reason.UNKNOWN_SUBJECT not in reasons


def test_one_number_of_the_changed_plan_differs(tmp_path: Path) -> None:
    """A change is as small as it can be."""
    write_catalog(tmp_path / "old.yaml", SIZE.features, SIZE.plans)
    write_catalog(tmp_path / "new.yaml", SIZE.features, SIZE.plans, changed_plan=2)
    old, new = ((tmp_path / name).read_text("utf-8").splitlines() for name in ("old.yaml", "new.yaml"))
    assert [line for before, line in zip(old, new, strict=True) if before != line] == ["      f1: 7"]


def test_hot_customers_are_spread_over_all() -> None:
    """The script asks about every thousandth customer of a million, if a thousand of them are hot."""
    script = lua_checks(Size(features=8, plans=5, customers=1_000_000), hot=1_000)
    assert 'local customer = "c" .. draw(0, 999) * 1000\n' in script


def test_scripts_send_a_body_of_the_announced_length() -> None:
    """Single checks and batches have the same head, for their own route."""
    single, batch = lua_checks(SIZE), lua_batches(SIZE, 100)
    assert re.search(r'local head = ("POST /v1/check .*")\n', single)
    assert 'return head .. #body .. "\\r\\n\\r\\n" .. body' in single
    assert "for i = 1, 100 do" in batch
    head = re.search(r'local head = ("POST /v1/checks .*")\n', batch)
    assert head
    assert json.loads(head[1]).endswith("Content-Length: ")
