"""Unleash Edge: a toggle for each feature, with a strategy for each plan."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchmarks.race.peer import Peer
from benchmarks.race.requests import Request

if TYPE_CHECKING:
    from benchmarks.race.facts import Question

_FRONTEND = "*:development.secret"
_CLIENT = "*:development.clientsecret"


class UnleashEdge(Peer):
    """Unleash Edge in offline mode, with a file of toggles."""

    name = "Unleash Edge"
    program = "unleash-edge"
    difference = (
        "It has no customers: the caller says which plan the customer has, and only one. The change is not measured: "
        "with its shortest interval, reading 80,000 strategies each second takes most of the core."
    )
    denial_status = 404
    request = Request(
        "/api/frontend/features/f$feature",
        '{"context":{"userId":"c$customer","properties":{"plan":"$plan","used":"$used"}}}',
        {"Authorization": _FRONTEND},
    )

    def write_files(self) -> None:
        """Write the toggles."""
        toggles = [
            {
                "name": f"f{feature}",
                "type": "release",
                "enabled": True,
                "project": "default",
                "strategies": self._strategies(feature),
            }
            for feature in range(self.facts.features)
        ]
        (self.home / "toggles.json").write_text(json.dumps({"version": 2, "features": toggles}), "utf-8")

    def command(self, port: int) -> list[str]:
        """Return the command of the server."""
        command = [self.program, "--port", str(port), "--interface", "127.0.0.1", "--workers", "1", "offline"]
        command += ["--bootstrap-file", str(self.home / "toggles.json")]
        return [*command, "--client-tokens", _CLIENT, "--frontend-tokens", _FRONTEND]

    def read_answer(self, body: bytes) -> bool:
        """Return whether the toggle is enabled."""
        return bool(json.loads(body)["enabled"])

    def expected(self, question: Question) -> bool:
        """Return the answer for the customer's first plan."""
        plan = self.facts.subscriptions[question.customer][0]
        return question.used < self.facts.limits[plan][question.feature]

    def _strategies(self, feature: int) -> list[object]:
        plain = {"values": [], "inverted": False, "caseInsensitive": False}
        return [
            {
                "name": "default",
                "parameters": {},
                "constraints": [
                    plain | {"contextName": "plan", "operator": "IN", "values": [f"p{plan}"]},
                    plain | {"contextName": "used", "operator": "NUM_LT", "value": str(limits[feature])},
                ],
            }
            for plan, limits in enumerate(self.facts.limits)
        ]


class UnleashEdgePlain(UnleashEdge):
    """Unleash Edge with toggles that have no constraint: its best case."""

    name = "Unleash Edge (plain toggles)"
    same_work = False
    difference = "Not the same work: toggles without any constraint, always on."
    request = Request(
        "/api/frontend/features/f$feature", '{"context":{"userId":"c$customer"}}', {"Authorization": _FRONTEND}
    )

    def expected(self, question: Question) -> bool:
        """Return true: every toggle is on."""
        return True

    def _strategies(self, feature: int) -> list[object]:
        return [{"name": "default", "parameters": {}, "constraints": []}]
