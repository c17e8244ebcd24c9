"""The options of `tiergate test`."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from tiergate.cli.shared_options import AsJson  # noqa: TC001 - read at run time, for the options
from tiergate.errors import SettingsError

if TYPE_CHECKING:
    from tiergate.policytest.selection import Selection
    from tiergate.policytest.suite_reader import PublishedFiles


class Output(StrEnum):
    """The format of the result."""

    TREE = "tree"
    JSON = "json"
    JUNIT = "junit"


_PATTERN = "a part of the name, or a pattern with `*` and `?` for the whole name; may be given several times."
_NAMES = list[str] | None
_FILE = Path | None


class TestRunOptions(NamedTuple):
    """What to run, and what to write."""

    suite: Annotated[_NAMES, typer.Option(metavar="NAME", help=f"Run only these suites: {_PATTERN}")] = None
    test: Annotated[_NAMES, typer.Option(metavar="NAME", help=f"Run only these tests: {_PATTERN}")] = None
    subject: Annotated[
        _NAMES, typer.Option(metavar="NAME", help=f"Run only the cases of these subjects, or callers: {_PATTERN}")
    ] = None
    feature: Annotated[
        _NAMES, typer.Option(metavar="NAME", help=f"Run only the cases of these features, or actions: {_PATTERN}")
    ] = None
    catalog: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Test this catalog, a file or a folder, not those that suites name; may be given several times.",
        ),
    ] = None
    rules: Annotated[
        _FILE,
        typer.Option(metavar="DIR", help="With `--catalog`: test with exactly these rules; default: without any."),
    ] = None
    output: Annotated[
        Output | None,
        typer.Option(
            metavar="FORM",
            help="What to write to standard output: `tree` (default), `json` or `junit`.",
            show_default=False,
        ),
    ] = None
    as_json: AsJson = False
    junit: Annotated[
        _FILE, typer.Option(metavar="FILE", help="Also write JUnit's XML to this file, for build servers.")
    ] = None
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show passed cases too; in JSON: with their decisions.")
    ] = False
    watch: Annotated[
        bool, typer.Option("--watch", help="Run again whenever an input file of a run changes, until Ctrl-C.")
    ] = False
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Show what the tests cover of catalogs, rules and roles, and what not.")
    ] = False
    coverage_html: Annotated[
        _FILE, typer.Option(metavar="FILE", help="Write the coverage to this file, as one HTML page.")
    ] = None
    coverage_json: Annotated[
        _FILE, typer.Option(metavar="FILE", help="Write the coverage to this file, as JSON, with every unit.")
    ] = None
    fail_under: Annotated[
        float | None,
        typer.Option(metavar="PERCENT", min=0, max=100, help="Exit with 1 if less than this is covered, as 87.5."),
    ] = None
    shipped: Annotated[
        bool,
        typer.Option("--shipped", help="Include Tiergate's own guards, overrides, reasons and roles in the coverage."),
    ] = False
    export_cedar: Annotated[
        _FILE,
        typer.Option(metavar="DIR", help="Also write the tests in the format of `cedar run-tests`, with policies."),
    ] = None

    @property
    def form(self) -> Output:
        """The format of the result."""
        return Output.JSON if self.as_json else self.output or Output.TREE

    @property
    def selection(self) -> Selection:
        """The cases to run."""
        from tiergate.policytest.selection import Selection

        return Selection(*(tuple(names or ()) for names in (self.suite, self.test, self.subject, self.feature)))

    @property
    def published(self) -> PublishedFiles | None:
        """The files that suites test instead of those that they name.

        Raises:
            SettingsError: if there are rules without a catalog.
        """
        from tiergate.policytest.suite_reader import PublishedFiles

        if not self.catalog:
            if self.rules is not None:
                raise SettingsError("rules", "needs the catalog: add `--catalog`")
            return None
        return PublishedFiles(tuple(self.catalog), self.rules)

    @property
    def least_coverage(self) -> Decimal | None:
        """The percentage of `--fail-under`, with the digits that were given."""
        return None if self.fail_under is None else Decimal(str(self.fail_under))

    @property
    def has_coverage(self) -> bool:
        """Whether coverage is measured."""
        return self.coverage or any(
            option is not None for option in (self.fail_under, self.coverage_html, self.coverage_json)
        )

    @property
    def written_paths(self) -> list[Path]:
        """The files and folders that a run writes."""
        paths = (self.junit, self.coverage_html, self.coverage_json, self.export_cedar)
        return [path for path in paths if path is not None]
