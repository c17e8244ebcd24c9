"""`python -m benchmarks.race`: let Tiergate and every peer on the path answer the same questions, and compare them."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from benchmarks.processes import free_port, running
from benchmarks.published import publish_race
from benchmarks.race.facts import CUSTOMERS, PLANS, Facts, draw_facts
from benchmarks.race.floor import ANSWER
from benchmarks.race.measure import REPEATED, Floor, Length, measure
from benchmarks.race.peers import PEERS
from benchmarks.race.peers.tiergate import Tiergate
from benchmarks.race.report import console_table, markdown_differences, markdown_losses, summary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.race.peer import Peer
    from benchmarks.race.results import PeerResult


def main(arguments: list[str] | None = None) -> int:
    """Measure the chosen peers; return 1 if one of them failed or answered wrong."""
    options = _parser().parse_args(arguments)
    chosen = _chosen(options.peers)
    if options.update_page and (options.plans, options.customers) != (PLANS, CUSTOMERS):
        _parser().error("the page shows the default numbers of plans and customers only")
    facts = draw_facts(plans=options.plans, customers=options.customers)
    with _directory(options.directory) as directory, _floor(directory, facts) as floor:
        results = list(_race(chosen, facts, directory, floor, Length(options.seconds, options.rounds)))
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(console_table(results))
    console.print("Not the same:", markdown_differences(results), sep="\n", markup=False)
    console.print("Better than Tiergate:", markdown_losses(results), sep="\n", markup=False)
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n", "utf-8")
    if options.update_page:
        publish_race(results)
    return int(any(result.problem for result in results))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.race", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3, help="duration of each run of wrk (default: 3)")
    parser.add_argument("--rounds", type=int, default=3, help="number of runs per median (default: 3)")
    parser.add_argument("--plans", type=int, default=PLANS, help=f"number of plans (default: {PLANS})")
    parser.add_argument("--customers", type=int, default=CUSTOMERS, help=f"number of customers (default: {CUSTOMERS})")
    parser.add_argument("--directory", type=Path, help="folder for the files; reuses OpenFGA's data of an earlier run")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--update-page", action="store_true", help="also write them to docs/explanation/performance.md")
    names = ", ".join(peer.key() for peer in PEERS)
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"{names} (default: all that are on the path)")
    return parser


def _chosen(keys: list[str]) -> list[type[Peer]]:
    peers = {peer.key(): peer for peer in PEERS}
    unknown = [key for key in keys if key not in peers]
    if unknown:
        _parser().error(f"no peer `{unknown[0]}`; there are {', '.join(peers)}")
    return [peers[key] for key in keys] or list(PEERS)


def _race(
    chosen: list[type[Peer]], facts: Facts, directory: Path, floor: Floor, length: Length
) -> Iterator[PeerResult]:
    for kind in chosen:
        peer = kind(facts, directory / f"{facts.plans}x{facts.customers}" / kind.key())
        if peer.find_program() is None:
            print(f"{peer.name}: not measured, `{peer.program}` is not on the path", file=sys.stderr, flush=True)
            continue
        result = measure(peer, floor, length)
        print(summary(result), file=sys.stderr, flush=True)
        yield result


@contextmanager
def _directory(directory: Path | None) -> Iterator[Path]:
    """Yield the folder for the files; a temporary one is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="tiergate-race-") as temporary:
        chosen = directory or Path(temporary)
        chosen.mkdir(parents=True, exist_ok=True)
        yield chosen.resolve()


@contextmanager
def _floor(directory: Path, facts: Facts) -> Iterator[Floor]:
    """Run the floor until the block ends."""
    answer, script, port = directory / "floor.answer", directory / "floor.lua", free_port()
    answer.write_bytes(ANSWER)
    script.write_text(Tiergate.request.repeated_script(REPEATED, facts), "utf-8")
    with running([sys.executable, "-m", "benchmarks.servers", "floor", str(port), str(answer)], port):
        yield Floor(port, script)


if __name__ == "__main__":
    sys.exit(main())
