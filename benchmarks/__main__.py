"""`python -m benchmarks`: measure and print one table."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from benchmarks.change_rows import changes_rows
from benchmarks.engine_rows import engine_rows
from benchmarks.facade_rows import facade_rows
from benchmarks.file_rows import compile_rows, reload_rows
from benchmarks.http_rows import Bench, batch_rows, repeat_rows
from benchmarks.insight_rows import insight_rows
from benchmarks.lease_rows import lease_rows
from benchmarks.level_rows import level_rows
from benchmarks.outcome_rows import outcome_rows
from benchmarks.pause_rows import pause_rows
from benchmarks.preview_rows import preview_rows
from benchmarks.published import publish_group
from benchmarks.sizing_rows import sizing_rows
from benchmarks.status_page_rows import status_page_rows
from benchmarks.status_rows import status_rows
from benchmarks.store_rows import import_rows, store_rows
from benchmarks.suite_rows import suite_rows
from benchmarks.sync_rows import first_sync_rows, publish_rows
from benchmarks.table import figure, table_of
from benchmarks.uncached_rows import full_size_rows, growth_rows, uncached_rows
from benchmarks.usage_rows import usage_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.table import Row


GROUPS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "repeat": repeat_rows,
    "batch": batch_rows,
    "facades": facade_rows,
    "engine": lambda bench: engine_rows(bench.directory, bench.rounds),
    "uncached": uncached_rows,
    "full-size": full_size_rows,
    "growth": growth_rows,
    "usage": lambda bench: chain(usage_rows(bench), insight_rows(bench.directory, bench.rounds), lease_rows(bench)),
    "outcomes": outcome_rows,
    "levels": lambda bench: level_rows(bench.directory, bench.rounds),
    "compile": lambda bench: compile_rows(bench.directory),
    "reload": lambda bench: reload_rows(bench.directory),
    "pause": lambda bench: pause_rows(bench.directory),
    "tests": lambda bench: suite_rows(bench.directory, bench.rounds),
    "preview": lambda bench: preview_rows(bench.directory),
    "store": lambda bench: store_rows(bench.directory),
    "import": lambda bench: import_rows(bench.directory),
    "publish": lambda bench: publish_rows(bench.directory, bench.rounds),
    "status": lambda bench: status_rows(bench.directory, bench.rounds),
    "status-page": lambda bench: status_page_rows(bench.directory, bench.rounds),
    "changes": lambda bench: changes_rows(bench.directory, bench.seconds),
    "first-sync": lambda bench: first_sync_rows(bench.directory),
    "sizing": lambda bench: sizing_rows(bench.directory),
}


def main() -> int:
    """Run the chosen groups of rows; return 1 if a target is missed and `--strict` is set."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3, help="duration of each run of wrk (default: 3)")
    parser.add_argument("--rounds", type=int, default=5, help="number of runs per median (default: 5)")
    parser.add_argument("--directory", type=Path, help="folder for the files; reuses those of an earlier run")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument(
        "--update-page", action="store_true", help="also write the results to docs/explanation/performance.md"
    )
    parser.add_argument("--strict", action="store_true", help="exit with status 1 if a target is missed")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"{', '.join(GROUPS)} (default: all)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tiergate-bench-") as temporary:
        directory = options.directory or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        bench = Bench(directory, options.seconds, options.rounds)
        unknown = [name for name in options.groups if name not in GROUPS]
        if unknown:
            parser.error(f"no group `{unknown[0]}`; there are {', '.join(GROUPS)}")
        rows = _measure(options.groups or list(GROUPS), bench, options)
    return int(options.strict and any(row.met is False for row in rows))


def _measure(groups: list[str], bench: Bench, options: argparse.Namespace) -> list[Row]:
    """Measure each group, and print and write its rows as soon as they are there."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(f"Tiergate on {platform.machine()}, Python {platform.python_version()}")
    measured: list[Row] = []
    for name in groups:
        print(f"measuring: {name}", file=sys.stderr, flush=True)
        rows = []
        for row in GROUPS[name](bench):
            rows.append(row)
            print(f"  {row.what}: {figure(row.figure, row.unit)}  {row.text}", file=sys.stderr, flush=True)
        console.print(table_of(rows, name))
        measured += rows
        if options.json is not None:
            options.json.write_text(json.dumps([asdict(row) for row in measured], indent=2) + "\n", encoding="utf-8")
        if options.update_page:
            publish_group(name, rows)
    return measured


if __name__ == "__main__":
    sys.exit(main())
