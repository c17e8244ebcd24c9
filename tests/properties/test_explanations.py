"""What an explanation exports reaches the same decision in Cedar's plain text interface, which shares no handle."""

from __future__ import annotations

import json

from hypothesis import event, given
from hypothesis import strategies as st

from tests.properties.documents import Document, worlds
from tests.properties.engines import World, check_of
from tests.properties.inquiries import Inquirer
from tests.properties.rules import rule_files
from tiergate.cedar import authorize_text
from tiergate.engine import explain


@given(worlds(), st.data(), st.integers(0, 2**32))
def test_an_export_reaches_the_same_decision(drawn: tuple[Document, Document], data: st.DataObject, seed: int) -> None:
    """Decision, deciding policies and, after a denial that nothing forbade, the reasons: from the exported files."""
    engine = World(*drawn, data.draw(rule_files(*drawn), label="rules")).engine()
    for now, ask in Inquirer(*drawn, seed).asks(nows=2, checks=2):
        explanation = explain(engine, check_of(ask), now)
        files, decision = explanation.export.files, explanation.decision
        event(decision.reason)
        if not files:
            assert decision.reason == "unknown_subject"
            continue
        request = json.loads(files["request.json"])
        plain = authorize_text(files["policies.cedar"], files["entities.json"], files["schema.cedarschema"], request)
        deciding = plain.policies
        if not plain.allowed and not plain.policies and not plain.errors:
            deciding = authorize_text(
                files["reasons.cedar"], files["entities.json"], files["schema.cedarschema"], request
            ).policies
        assert decision.allowed == (plain.allowed and not plain.errors)
        assert bool(decision.errors) == bool(plain.errors)
        assert decision.policies == deciding
        assert {it.id for it in explanation.policies if it.decided} == set(decision.policies)
