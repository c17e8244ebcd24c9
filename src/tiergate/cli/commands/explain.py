"""`tiergate explain`: why a check is decided as it is, laid open for a person."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiergate.cli.check_options import (
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
from tiergate.cli.local_engine import CatalogFiles, DataFolder, SubjectsFiles
from tiergate.cli.shared_options import AsJson, At, RulesFolder

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
    from msgspec import json

    from tiergate.cli.cedar_export import write_export
    from tiergate.cli.check_options import question
    from tiergate.cli.local_engine import open_engine
    from tiergate.cli.output.console import say, warn
    from tiergate.cli.output.explanation import tell
    from tiergate.cli.shared_options import instant
    from tiergate.client import read_answer, read_json
    from tiergate.engine import build_reasoning, decision_json, reasoning_json, reasoning_sentences
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
    answer = read_answer(read_json(decision_json(explanation.decision)))
    if export is not None and explanation.export.files:
        write_export(explanation, answer, export)
    elif export is not None:
        warn(f"nothing to export: `{subject}` is unknown", "yellow")
    about = engine.index.features[feature]
    if as_json:
        reasoning = build_reasoning(explanation, about, record, asked.subject)
        say(json.format(reasoning_json(reasoning, reasoning_sentences(reasoning)), indent=2).decode())
    else:
        tell(explanation, answer, about, record, asked.subject)
