from __future__ import annotations

import pytest

from tests.serving import CATALOG, NOW, Subjects, bundle, customer
from tiergate.engine import EngineOptions, Rechecks, find_all_features
from tiergate.engine.shapes.kept_decision import KeptDecision
from tiergate.model import Subject, Suspension
from tiergate.sidecar.api.ofrep.kept_flags import KeptFlagWriter
from tiergate.sidecar.api.ofrep.translation import decided_feature, evaluate_both, kept_feature

MORE = """\
  - {id: vast, kind: plan, entitlements: {wide: 90071992547409919.5, long: 9007199254740993}}
  - {id: tiny, kind: plan, entitlements: {storage: 0.125}}
"""
FEATURES = "  - {id: wide, type: range, scale: 1}\n  - {id: long, type: quantity}\nitems:"
SUSPENDED = tuple(Suspension(feature) for feature in ("movies", "support", "analytics", "storage"))
RECORDS = [
    customer("acme"),
    customer("bob", "silver"),
    customer("rich", "platinum"),
    customer("huge", "vast"),
    customer("small", "tiny"),
    customer("off", "platinum", suspensions=SUSPENDED),
    customer("away", "gold", suspensions=SUSPENDED),
]


@pytest.mark.parametrize("name", [record.customer.id for record in RECORDS])
def test_the_quick_form_is_the_form(name: str) -> None:
    """Each kept decision has the bytes that translation gives it, and that the decision itself gets."""
    engine = EngineOptions(rechecks=Rechecks(0)).build(
        bundle(CATALOG.replace("items:", FEATURES, 1) + MORE), Subjects(*RECORDS)
    )
    writer, revision = KeptFlagWriter("r"), "r"
    subject = Subject(name)
    decided: dict[str, bytes] = {}
    for _ in range(2):
        for decision in find_all_features(engine, subject, NOW):
            if isinstance(decision, KeptDecision):
                made = writer.write_both(decision)
                assert made == evaluate_both(decision.feature.id, kept_feature(decision), revision)
                assert made == decided.get(decision.feature.id, made)
            else:
                feature = engine.evaluator.index.features[decision.feature]
                decided[decision.feature] = evaluate_both(feature.id, decided_feature(decision, feature), revision)
    kept = [it for it in find_all_features(engine, subject, NOW) if isinstance(it, KeptDecision)]
    assert len(kept) == len(engine.evaluator.index.features)
