"""Cerbos: a policy for each feature, with the plans' limits as constants."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from benchmarks.processes import free_port
from benchmarks.race.peer import CHANGED_LIMIT, Peer
from benchmarks.race.requests import Request

if TYPE_CHECKING:
    from pathlib import Path


class Cerbos(Peer):
    """Cerbos's server with policies on disk."""

    name = "Cerbos"
    program = "cerbos"
    difference = "It has no customers: the caller says which plans the customer has."
    request = Request(
        "/api/check/resources",
        '{"principal":{"id":"c$customer","roles":["customer"],"attr":{"plans":$plans}},"resources":[{"resource":'
        '{"kind":"f$feature","id":"1","attr":{"used":$used}},"actions":["use"]}]}',
    )

    @property
    def _policies(self) -> Path:
        return self.home / "policies"

    def write_files(self) -> None:
        """Write the policies."""
        shutil.rmtree(self._policies, ignore_errors=True)
        self._policies.mkdir()
        for feature in range(self.facts.features):
            limits = {f"p{plan}": limits[feature] for plan, limits in enumerate(self.facts.limits)}
            self._write_policy(feature, limits)

    def command(self, port: int) -> list[str]:
        """Write the settings; return the command of the server."""
        settings = {
            "server": {
                "httpListenAddr": f"127.0.0.1:{port}",
                "grpcListenAddr": f"127.0.0.1:{free_port()}",
                "adminAPI": {"enabled": False},
            },
            "telemetry": {"disabled": True},
            "audit": {"enabled": False},
            "storage": {"driver": "disk", "disk": {"directory": str(self._policies), "watchForChanges": True}},
        }
        (self.home / "settings.yaml").write_text(json.dumps(settings), "utf-8")
        return [self.program, "server", "--config", str(self.home / "settings.yaml"), "--log-level", "error"]

    def read_answer(self, body: bytes) -> bool:
        """Return whether the effect of the action is to allow."""
        return bool(json.loads(body)["results"][0]["actions"]["use"] == "EFFECT_ALLOW")

    def change(self, port: int) -> str | None:
        """Replace the policy of the feature."""
        limits = {f"p{plan}": limits[1] for plan, limits in enumerate(self.facts.limits)}
        self._write_policy(1, limits | {"p0": CHANGED_LIMIT})
        return "file"

    def _write_policy(self, feature: int, limits: dict[str, int]) -> None:
        rule = {
            "actions": ["use"],
            "effect": "EFFECT_ALLOW",
            "roles": ["customer"],
            "condition": {"match": {"expr": "P.attr.plans.exists(plan, R.attr.used < C.limits[plan])"}},
        }
        policy = {
            "resource": f"f{feature}",
            "version": "default",
            "constants": {"local": {"limits": limits}},
            "rules": [rule],
        }
        text = json.dumps({"apiVersion": "api.cerbos.dev/v1", "resourcePolicy": policy})
        written = self.home / "next.json"
        written.write_text(text, "utf-8")
        written.replace(self._policies / f"f{feature}.yaml")
