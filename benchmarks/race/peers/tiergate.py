"""Tiergate's sidecar in file mode."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.processes import free_port, sidecar
from benchmarks.race.peer import CHANGED_LIMIT, Peer
from benchmarks.race.requests import Request
from tiergate import __version__

if TYPE_CHECKING:
    from benchmarks.race.facts import Facts


class Tiergate(Peer):
    """A sidecar that reads a catalog and subjects from files."""

    name = "Tiergate"
    program = sys.executable
    difference = (
        "It looks up the customer's plans, and its answer has a reason, the deciding sources and a decision id."
    )
    request = Request("/v1/check", '{"subject":"c$customer","feature":"f$feature","used":$used}')

    def version(self) -> str:
        """Return the version of this repository."""
        return __version__

    def prepare(self) -> str:
        """Write catalog and subjects, and start a sidecar once, so that the measured start finds its data folder."""
        self.write_files()
        begun = time.perf_counter()
        with sidecar(self.home / "catalog.yaml", self.home / "subjects.ndjson", self.home / "data"):
            taken = time.perf_counter() - begun
        return f"it starts on the data folder of an earlier start, which took {taken:.1f} s"

    def write_files(self) -> None:
        """Write catalog and subjects."""
        self._write_catalog(self.facts)
        lines = []
        for customer, plans in enumerate(self.facts.subscriptions):
            items = [{"item": f"p{plan}"} for plan in plans]
            subscription = {"type": "subscription", "id": f"s{customer}", "customer": f"c{customer}"}
            lines += [{"type": "customer", "id": f"c{customer}"}, subscription | {"status": "active", "items": items}]
        (self.home / "subjects.ndjson").write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")

    def command(self, port: int) -> list[str]:
        """Return the command of a sidecar on the written files."""
        command = [self.program, "-m", "tiergate", "sidecar", "--catalog", str(self.home / "catalog.yaml")]
        command += ["--subjects", str(self.home / "subjects.ndjson"), "--data", str(self.home / "data")]
        return [*command, "--port", str(port), "--probe-port", str(free_port()), "--log-level", "warning"]

    def read_answer(self, body: bytes) -> bool:
        """Return `allowed` of a decision."""
        return bool(json.loads(body)["allowed"])

    def change(self, port: int) -> str | None:
        """Replace the catalog file."""
        first, *others = self.facts.limits
        self._write_catalog(replace(self.facts, limits=((first[0], CHANGED_LIMIT, *first[2:]), *others)))
        return "file"

    def _write_catalog(self, facts: Facts) -> None:
        lines = ["apiVersion: tiergate/v1", "plans: many", "features:"]
        lines += [
            f"  - {{id: f{feature}, type: quantity, unit: things, combine: max}}" for feature in range(facts.features)
        ]
        lines.append("items:")
        for plan, limits in enumerate(facts.limits):
            lines += [f"  - id: p{plan}", "    kind: plan", "    entitlements:"]
            lines += [f"      f{feature}: {limit}" for feature, limit in enumerate(limits)]
        (self.home / "next.yaml").write_text("\n".join(lines) + "\n", "utf-8")
        (self.home / "next.yaml").replace(self.home / "catalog.yaml")
