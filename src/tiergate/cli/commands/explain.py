"""`tiergate explain`: explain why a check is decided as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiergate.cli.check_options import CheckOptions, FeatureArgument, SubjectArgument
from tiergate.cli.local_engine import open_engine
from tiergate.cli.option_groups import expand_options
from tiergate.cli.output.console import warn
from tiergate.cli.output.errors import print_json_bytes
from tiergate.cli.shared_options import AsJson, At, DataFolder, EngineFiles, read_instant

app = typer.Typer()


@app.command()
@expand_options
def explain(
    subject: SubjectArgument,
    feature: FeatureArgument,
    *,
    options: CheckOptions,
    files: EngineFiles,
    data: DataFolder = None,
    at: At = None,
    export: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write what the official Cedar CLI needs to decide the same.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Explain a decision: the items, the overrides, the numbers, and the policies with their text.

    The command decides from files or from a sidecar's data folder; no sidecar needs to run.
    """
    from tiergate.cli.cedar_export import write_export
    from tiergate.cli.output.explanation import print_explanation
    from tiergate.client import read_answer, read_json
    from tiergate.engine import build_reasoning, decision_json, reasoning_json, reasoning_sentences
    from tiergate.engine import explain as explain_decision

    check = options.check(subject, feature)
    with open_engine(files, data, check.subject) as (engine, source):
        explanation = explain_decision(engine, check, read_instant(at))
        record = source.find(check.subject)
    answer = read_answer(read_json(decision_json(explanation.decision)))
    if export is not None and explanation.export.files:
        write_export(explanation, answer, export)
    elif export is not None:
        warn(f"nothing to export: `{subject}` is unknown", "yellow")
    definition = engine.index.features[feature]
    reasoning = build_reasoning(explanation, definition, record, check.subject)
    if as_json:
        print_json_bytes(reasoning_json(reasoning, reasoning_sentences(reasoning)))
    else:
        print_explanation(reasoning, answer, definition)
