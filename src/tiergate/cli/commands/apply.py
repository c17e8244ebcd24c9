"""`tiergate apply`: publish the content of catalog files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tiergate.cli.control_plane_client import ControlPlaneOptions
from tiergate.cli.option_groups import expand_options
from tiergate.cli.output.console import print_line, show_activity
from tiergate.cli.publish_options import PublishOptions
from tiergate.cli.shared_options import RulesFolder, SubjectsFiles

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer()


@app.command()
@expand_options
def apply(
    *,
    file: Annotated[
        list[Path],
        typer.Option(
            "--file", "-f", metavar="CATALOG", help="A catalog file, or a folder of them; may be given several times."
        ),
    ],
    connection: ControlPlaneOptions,
    rules: RulesFolder = None,
    subjects: SubjectsFiles = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove what is published and not in the files, except private items.")
    ] = False,
    options: PublishOptions,
) -> None:
    """Publish the content of catalog files, and print what that changes. Applying the same files again changes nothing.

    What the files do not name stays as it is, unless `--prune` is given. Versions in the files keep their numbers; a
    published version can never change. Customers and subscriptions of `--subjects` are written afterwards, each as a
    whole; all others stay. If customers would lose something or get less, this is rejected with exit code 1, unless
    `--accept-loss`.
    """
    from tiergate.catalog import TotalBounds, dump_subject_lines, load_catalog, load_subjects

    catalog = load_catalog(file).catalog  # problems in the files show without a control plane
    index = catalog.index()
    records = list(load_subjects(subjects, index, TotalBounds.of(catalog)).values()) if subjects else None
    body = apply_body(file, rules, prune=prune)
    control_plane = connection.client()
    with show_activity("applying"):
        result = options.request(control_plane, "/v1/apply", body)
        if records is not None and not options.dry_run:
            result["subjects"] = control_plane.post_lines("/v1/import/subjects", dump_subject_lines(records, index))
    options.print_result(result)
    if "subjects" in result and not options.as_json:
        counts = result["subjects"]
        numbers = f"{counts['customers']:,} customers, {counts['subscriptions']:,} subscriptions"
        print_line(f"{numbers}: {counts['changed']:,} changed")


def apply_body(files: Sequence[Path], rules: Path | None, *, prune: bool) -> dict[str, object]:
    """Return the members of the request's body: the texts of the catalog files and of the rules.

    Raises:
        RulesError: if the rules cannot be read.
        OSError: if a file cannot be read.
    """
    from tiergate.catalog import read_rules
    from tiergate.catalog.loader import CATALOG_ENDINGS
    from tiergate.catalog.reading.files import expand_paths
    from tiergate.catalog.reading.problem_report import ProblemLog

    paths = expand_paths(files, CATALOG_ENDINGS, ProblemLog())
    body: dict[str, object] = {
        "catalog": [{"name": str(path), "text": path.read_text(encoding="utf-8")} for path in paths],
        "prune": prune,
    }
    if rules is not None:
        texts = read_rules(rules)
        body["rules"] = {"policies": texts.policies, "schemas": texts.schemas, "entities": texts.entities}
    return body
