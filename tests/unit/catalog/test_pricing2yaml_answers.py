"""Real pricings all the way: imported, printed, loaded, compiled and asked, against what plain YAML says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from tests.reference.pricings import pricing
from tests.unit.catalog.pricing2yaml_decisions import held_value
from tests.unit.catalog.pricing2yaml_real import Plain, each_file_in_depth, plain, section
from tiergate.bundle import Bundle
from tiergate.catalog import dump_catalog, load_catalog
from tiergate.catalog.pricing2yaml import import_pricings
from tiergate.compiler import compile_catalog
from tiergate.engine import Evaluator
from tiergate.model import (
    Check,
    Customer,
    FeatureType,
    ItemKind,
    Number,
    Reason,
    Rules,
    Subject,
    SubjectRecord,
    Subscription,
    SubscriptionItem,
    SubscriptionStatus,
    from_units,
)

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_800_000_000_000
QUANTITY = 2


class Held(NamedTuple):
    """What a customer has: a plan, if there is one, and twice each of some add-ons."""

    plan: str | None
    add_ons: tuple[str, ...] = ()

    @property
    def quantities(self) -> dict[str, int]:
        """How many of each."""
        return dict.fromkeys(self.add_ons, QUANTITY) | ({} if self.plan is None else {self.plan: 1})


class Customers:
    """One customer for each thing to hold, named by its number."""

    def __init__(self, held: list[Held], ids: dict[tuple[ItemKind, str], str]) -> None:
        self._records = [self._record(str(number), each, ids) for number, each in enumerate(held)]

    @staticmethod
    def _record(name: str, held: Held, ids: dict[tuple[ItemKind, str], str]) -> SubjectRecord:
        items = [SubscriptionItem(ids[ItemKind.ADDON, add_on], QUANTITY) for add_on in held.add_ons]
        if held.plan is not None:
            items.append(SubscriptionItem(ids[ItemKind.PLAN, held.plan]))
        subscription = Subscription(f"sub-{name}", name, SubscriptionStatus.ACTIVE, tuple(items))
        return SubjectRecord(Customer(name), (subscription,))

    def find(self, subject: Subject) -> SubjectRecord | None:
        """The record of the customer of this number."""
        return self._records[int(subject.id)]


def everything_to_hold(source: Plain) -> list[Held]:
    """Each plan alone, and each add-on with a plan for which it is available and all that it needs, or with less.

    Less is: without a plan, with one for which it is not available, without one of the add-ons on which it depends.
    """
    plans, add_ons = section(source, "plans"), section(source, "addOns")
    found = [Held(plan) for plan in plans]
    for add_on in add_ons:
        needed = [add_on]
        for name in needed:
            needed += [other for other in add_ons[name].get("dependsOn") or () if other not in needed]
        fitting = [
            plan for plan in plans if all(plan in (add_ons[name].get("availableFor") or plans) for name in needed)
        ]
        whole = Held(fitting[0] if plans else None, tuple(needed))
        others = [plan for plan in plans if plan not in (add_ons[add_on].get("availableFor") or plans)]
        found += [whole, *(whole._replace(plan=plan) for plan in (None, *others[:1]))]
        found += [whole._replace(add_ons=tuple(it for it in needed if it != without)) for without in needed[1:]]
    return found


@each_file_in_depth
def test_an_imported_pricing_answers_as_it_says(path: Path, tmp_path: Path) -> None:
    """For each plan and add-on of each file, and each feature, the engine grants just what the source says."""
    source, said = plain(path), pricing(path)
    file = tmp_path / "catalog.yaml"
    imported = import_pricings([path])
    file.write_text(dump_catalog(imported), encoding="utf-8")
    loaded = load_catalog([file])
    assert loaded.catalog == imported
    bundle = Bundle.from_files(compile_catalog(imported, Rules(), positions=loaded.positions))
    held = everything_to_hold(source)
    customers = Customers(held, {(item.kind, item.name): item.id for item in imported.items.values()})
    engine = Evaluator(bundle, customers)
    for number, each in enumerate(held):
        subject = Subject(str(number))
        for feature in imported.features.values():
            expected = said.held([each.quantities], feature.name)
            decision = engine.decide(Check(subject, feature.id), NOW)
            assert held_value(decision) == expected, (each, feature.name)
            if feature.type is not FeatureType.QUANTITY:
                assert decision.allowed == (expected is not None)
            elif expected == math.inf:
                assert engine.decide(Check(subject, feature.id, used=10**14), NOW).allowed
            elif expected:
                step = from_units(1, feature.scale)
                limit: Number = decision.entitlement.value  # type: ignore[assignment]  # a limit of a quantity
                assert engine.decide(Check(subject, feature.id, limit), NOW).allowed
                assert engine.decide(Check(subject, feature.id, limit, used=step), NOW).reason is Reason.LIMIT_REACHED
            else:
                assert not decision.allowed
