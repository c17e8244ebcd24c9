"""Measure publishing and importing in this process, by its processor time; the rows of `store_rows` run it.

`python -m benchmarks.store_process publish CATALOG DATABASE` or `… import CATALOG SUBJECTS DATABASE` prints JSON.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from tiergate.admin.actor import Actor
from tiergate.admin.imports import import_subjects
from tiergate.bundle import SigningKey
from tiergate.catalog import load_catalog
from tiergate.model import Amount
from tiergate.permissions import Caller, CallerKind, shipped_roles
from tiergate.publish.apply_planner import ApplyRequest, plan_apply
from tiergate.publish.pending_planner import plan_pending_edits
from tiergate.publish.publication_stages import PublishConditions
from tiergate.publish.publisher import Publisher
from tiergate.publish.signer import Signer
from tiergate.store import SYSTEM, Store, WriteUnit
from tiergate.store.working_catalog import read_working, write_items

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.publish.publication_plan import Planner

T = TypeVar("T")

_CHECKED: Final = PublishConditions(checks_loss=True)
_CHANGES: Final = 7
_COLLECT_AFTER: Final = (1_000, 2, 2**31 - 1)  # as the control plane, when it is ready


def measured(work: Callable[[], T]) -> tuple[float, T]:
    """Run `work`; return the seconds of processor time of all threads, and its result."""
    begun = time.process_time()
    result = work()
    return time.process_time() - begun, result


class _Store:
    """A new store in a database, with an empty catalog."""

    def __init__(self, database: str) -> None:
        self.store = Store.open(database, migrating=True)
        self.publisher = Publisher(self.store, Signer([SigningKey.generate()]))

    def publish(self, planner: Planner) -> None:
        """Publish what is planned, if no customer loses anything."""
        self.publisher.publish(planner, lambda work: self.store.change(work, SYSTEM), _CHECKED)

    def apply(self, catalog: Path) -> None:
        """Apply a catalog file."""
        self.publish(plan_apply(ApplyRequest(load_catalog([catalog]))))

    def draft(self, item: str, feature: str, units: int) -> None:
        """Change one number in the draft of an item, from what it gives."""

        def work(unit: WriteUnit) -> None:
            known = unit.published.catalog.items[item].versions[-1].entitlements
            draft = {**known, feature: Amount(units)}
            write_items(unit, [read_working(unit.session, items=[item]).items[item]._replace(draft=draft)])

        self.store.change(work, SYSTEM)


def measure_publishing(catalog: Path, database: str) -> dict[str, float]:
    """Publish a catalog file, then one changed number several times; return the seconds of each, once and at best."""
    opened = _Store(database)
    whole, _ = measured(lambda: opened.apply(catalog))
    changes, pendings = [], []
    for turn in range(_CHANGES):
        opened.draft("p1", "f1", 10**13 + turn)
        if turn % 2:
            pendings.append(measured(lambda: opened.publisher.preview(plan_pending_edits()))[0])
        taken = measured(lambda: opened.publish(plan_pending_edits()))[0]
        if not turn % 2:
            changes.append(taken)
    idle = min(measured(lambda: opened.publisher.preview(plan_pending_edits()))[0] for _ in range(_CHANGES))
    return {"whole": whole, "change": sorted(changes)[len(changes) // 2], "pending": min(pendings), "idle": idle}


def measure_import(catalog: Path, subjects: Path, database: str) -> dict[str, float]:
    """Import a subjects file into an empty store; return the seconds, the lines and the largest memory in bytes."""
    opened = _Store(database)
    opened.apply(catalog)
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    caller, roles = Caller("benchmark", CallerKind.KEY, frozenset({"admin"})), shipped_roles()
    actor = Actor(caller, lambda action, resource: roles.allows(caller, action, resource))
    seconds, done = measured(lambda: import_subjects(actor, opened.store, subjects))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": seconds, "subjects": done.customers, "lines": done.changed, "memory": memory}


def main() -> None:
    """Measure what the arguments name, and print it."""
    match sys.argv[1:]:
        case ["publish", catalog, database]:
            result = measure_publishing(Path(catalog), database)
        case ["import", catalog, subjects, database]:
            result = measure_import(Path(catalog), Path(subjects), database)
        case _:
            sys.exit(__doc__)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
