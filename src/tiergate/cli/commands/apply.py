"""`tiergate apply`: what catalog files say becomes what the control plane has published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tiergate.cli.control_plane_client import DEFAULT_URL, ControlPlaneUrl, KeyFile
from tiergate.cli.local_engine import SubjectsFiles
from tiergate.cli.output.changeset import DryRun, IfMatch, Note
from tiergate.cli.output.impact import AcceptLoss
from tiergate.cli.shared_options import AsJson, RulesFolder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.model import Catalog, SubjectRecord

app = typer.Typer()


@app.command()
def apply(
    *,
    file: Annotated[
        list[Path],
        typer.Option(
            "--file", "-f", metavar="CATALOG", help="A catalog file, or a folder of them; may be given several times."
        ),
    ],
    key_file: KeyFile,
    control_plane: ControlPlaneUrl = DEFAULT_URL,
    rules: RulesFolder = None,
    subjects: SubjectsFiles = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove what is published and not in the files, but for private items.")
    ] = False,
    accept_loss: AcceptLoss = None,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Publish what catalog files say, and tell what that changes. Once more changes nothing.

    What the files do not name stays as it is, unless `--prune` is given. Versions that the files write are kept with
    their numbers; one that was published can never say something else. Customers and subscriptions of `--subjects` are
    written afterwards, each as a whole; those that are not named stay. Where customers would lose something by it, or
    get less, it is refused with exit code 1, unless `--accept-loss`.
    """
    from tiergate.catalog import dump_subject_lines, load_catalog
    from tiergate.cli.control_plane_client import ControlPlane
    from tiergate.cli.output.changeset import ask_to_publish, tell
    from tiergate.cli.output.console import say, working

    loaded = load_catalog(file)  # what is wrong with the files shows without a control plane
    records = _records(subjects, loaded.catalog) if subjects else None
    body = application(file, rules, prune=prune) | {"dry_run": dry_run, "note": note}
    asked = ControlPlane(control_plane, key_file)
    with working("applying"):
        said = ask_to_publish(asked, "/v1/apply", body, accept_loss=accept_loss, if_match=if_match, as_json=as_json)
        if records is not None and not dry_run:
            lines = dump_subject_lines(records, loaded.catalog.index())
            said["subjects"] = asked.send_lines("/v1/import/subjects", lines)
    tell(said, dry_run=dry_run, as_json=as_json)
    if "subjects" in said and not as_json:
        count = said["subjects"]
        say(f"{count['customers']:,} customers, {count['subscriptions']:,} subscriptions: {count['changed']:,} changed")


def application(files: Sequence[Path], rules: Path | None, *, prune: bool) -> dict[str, object]:
    """The members of a body that say what is applied: the texts of the files, and of a folder of rules.

    Raises:
        RulesError: the rules cannot be read.
        OSError: a file cannot be read.
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
        found = read_rules(rules)
        body["rules"] = {"policies": found.policies, "schemas": found.schemas, "entities": found.entities}
    return body


def _records(subjects: list[Path], catalog: Catalog) -> list[SubjectRecord]:
    from tiergate.catalog import TotalBounds, load_subjects

    return list(load_subjects(subjects, catalog.index(), TotalBounds.of(catalog)).values())
