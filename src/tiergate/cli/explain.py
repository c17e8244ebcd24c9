"""`tiergate explain`: why a check is decided as it is, laid open for a person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tiergate.cli.options import AsJson, At, RulesFolder
from tiergate.cli.questions import (
    AmountOption,
    FeatureArgument,
    IsSubscription,
    LevelOption,
    SubjectArgument,
    UsedOption,
    UserOption,
    UserUsedOption,
    ValueOption,
)
from tiergate.cli.sources import CatalogFiles, DataFolder, SubjectsFiles

if TYPE_CHECKING:
    from tiergate.engine import Explanation

__all__ = ["app"]

app = typer.Typer()


@app.command()
def explain(
    subject: SubjectArgument,
    feature: FeatureArgument,
    *,
    amount: AmountOption = None,
    used: UsedOption = None,
    value: ValueOption = None,
    level: LevelOption = None,
    subscription: IsSubscription = False,
    user: UserOption = None,
    user_used: UserUsedOption = None,
    catalog: CatalogFiles = None,
    subjects: SubjectsFiles = None,
    rules: RulesFolder = None,
    data: DataFolder = None,
    at: At = None,
    export: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write what the official Cedar CLI needs to decide the same.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Explain a decision: the items, the override, the numbers, and the policies with their text.

    Decides by itself, from files or from a sidecar's data folder; no sidecar needs to run.
    """
    from tiergate.cli.cedar_export import write_export
    from tiergate.cli.narrative import tell
    from tiergate.cli.options import instant
    from tiergate.cli.questions import question
    from tiergate.cli.sources import open_engine
    from tiergate.cli.terminal import say, warn
    from tiergate.client import read_answer, read_json
    from tiergate.engine import decision_json
    from tiergate.engine import explain as explain_decision

    asked = question(
        subject,
        feature,
        subscription=subscription,
        user=user,
        amount=amount,
        used=used,
        user_used=user_used,
        value=value,
        level=level,
    )
    with open_engine(catalog, subjects, rules, data, asked.subject) as (engine, source):
        explanation = explain_decision(engine, asked, instant(at))
        record = source.find(asked.subject)
    body = decision_json(explanation.decision)
    answer = read_answer(read_json(body))
    if export is not None and explanation.export.files:
        write_export(explanation, answer, export)
    elif export is not None:
        warn(f"nothing to export: `{subject}` is unknown", "yellow")
    if as_json:
        say(_document(explanation, body))
    else:
        tell(explanation, answer, engine.index.features[feature], record, asked.subject)


def _document(explanation: Explanation, decision: bytes) -> str:
    import msgspec

    from tiergate.model import format_instant

    document = {
        "decision": msgspec.Raw(decision),
        "at": format_instant(explanation.now),
        "principal": explanation.principal,
        "action": explanation.action,
        "context": explanation.context,
        "held": explanation.held,
        "policies": explanation.policies,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
