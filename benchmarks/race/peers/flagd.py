"""flagd: a flag for each feature, with a clause for each plan in its targeting."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchmarks.processes import free_port
from benchmarks.race.peer import CHANGED_LIMIT, Peer
from benchmarks.race.requests import Request

if TYPE_CHECKING:
    from benchmarks.race.facts import Question


class Flagd(Peer):
    """flagd with a file of flags, asked over OFREP."""

    name = "flagd"
    program = "flagd"
    version_arguments = ("version",)
    difference = "It has no customers: the caller says which plans the customer has. A flag has a clause for each plan."
    request = Request(
        "/ofrep/v1/evaluate/flags/f$feature",
        '{"context":{"targetingKey":"c$customer","plans":$plans,"used":$used}}',
    )

    def write_files(self) -> None:
        """Write the flags."""
        self._write_flags({})

    def command(self, port: int) -> list[str]:
        """Return the command of the server."""
        ports = [f"--{name}-port={free_port()}" for name in ("management", "sync")]
        ports += [f"--port={free_port()}", f"--ofrep-port={port}"]
        return [self.program, "start", *ports, "--uri", f"file:{self.home / 'flags.json'}"]

    def read_answer(self, body: bytes) -> bool:
        """Return the flag's value."""
        return bool(json.loads(body)["value"])

    def change(self, port: int) -> str | None:
        """Write the file of flags."""
        self._write_flags({(0, 1): CHANGED_LIMIT})
        return "file"

    def _write_flags(self, changed: dict[tuple[int, int], int]) -> None:
        flags = {
            f"f{feature}": _flag({"if": [{"or": self._clauses(feature, changed)}, "on", "off"]})
            for feature in range(self.facts.features)
        }
        (self.home / "flags.json").write_text(json.dumps({"flags": flags}), "utf-8")

    def _clauses(self, feature: int, changed: dict[tuple[int, int], int]) -> list[object]:
        return [
            {
                "and": [
                    {"in": [f"p{plan}", {"var": "plans"}]},
                    {"<": [{"var": "used"}, changed.get((plan, feature), limits[feature])]},
                ]
            }
            for plan, limits in enumerate(self.facts.limits)
        ]


class FlagdStatic(Flagd):
    """flagd with flags that have no targeting: its best case."""

    name = "flagd (static flags)"
    same_work = False
    difference = "Not the same work: flags without any rule, always on."
    request = Request("/ofrep/v1/evaluate/flags/f$feature", '{"context":{"targetingKey":"c$customer"}}')

    def expected(self, question: Question) -> bool:
        """Return true: every flag is on."""
        return True

    def change(self, port: int) -> str | None:
        """Return None: there is no limit to change."""
        return None

    def _write_flags(self, changed: dict[tuple[int, int], int]) -> None:
        flags = {f"f{feature}": _flag(None) for feature in range(self.facts.features)}
        (self.home / "flags.json").write_text(json.dumps({"flags": flags}), "utf-8")


def _flag(targeting: object) -> dict[str, object]:
    variants = {"on": True, "off": False}
    if targeting is None:
        return {"state": "ENABLED", "variants": variants, "defaultVariant": "on"}
    return {"state": "ENABLED", "variants": variants, "defaultVariant": "off", "targeting": targeting}
