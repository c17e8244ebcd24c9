"""cedar-agent: a policy for each feature, the plans as entities with their limits."""

from __future__ import annotations

import json

from benchmarks.race.peer import Peer
from benchmarks.race.requests import Request

_PLANS = ("a", "b", "c")  # attributes of a customer: at most three plans


class CedarAgent(Peer):
    """cedar-agent with policies and entities from files."""

    name = "cedar-agent"
    program = "cedar-agent"
    difference = "It looks up the customer's plans, and evaluates all 400 policies for each check."
    request = Request(
        "/v1/is_authorized",
        json.dumps(
            {
                "principal": 'Customer::"c$customer"',
                "action": 'Action::"use"',
                "resource": 'Feature::"f$feature"',
                "context": {"used": "$used"},
            },
            separators=(",", ":"),
        ).replace('"$used"', "$used"),
    )

    def write_files(self) -> None:
        """Write policies and entities."""
        policies = [{"id": f"f{feature}", "content": _policy(feature)} for feature in range(self.facts.features)]
        (self.home / "policies.json").write_text(json.dumps(policies), "utf-8")
        entities: list[object] = [
            {
                "uid": {"type": "Plan", "id": f"p{plan}"},
                "attrs": {f"f{feature}": limit for feature, limit in enumerate(limits)},
                "parents": [],
            }
            for plan, limits in enumerate(self.facts.limits)
        ]
        for customer, plans in enumerate(self.facts.subscriptions):
            attributes = {
                name: {"__entity": {"type": "Plan", "id": f"p{plan}"}}
                for name, plan in zip(_PLANS, plans, strict=False)
            }
            entities.append({"uid": {"type": "Customer", "id": f"c{customer}"}, "attrs": attributes, "parents": []})
        (self.home / "entities.json").write_text(json.dumps(entities), "utf-8")

    def command(self, port: int) -> list[str]:
        """Return the command of the server."""
        command = [self.program, "--port", str(port), "--addr", "127.0.0.1", "--log-level", "error"]
        return [*command, "--policies", str(self.home / "policies.json"), "--data", str(self.home / "entities.json")]

    def read_answer(self, body: bytes) -> bool:
        """Return whether the decision is to allow."""
        return bool(json.loads(body)["decision"] == "Allow")


def _policy(feature: int) -> str:
    first, *others = _PLANS
    conditions = [f"principal.{first}.f{feature} > context.used"]
    conditions += [f"(principal has {plan} && principal.{plan}.f{feature} > context.used)" for plan in others]
    head = f'permit(principal, action == Action::"use", resource == Feature::"f{feature}")'
    return f"{head} when {{ {' || '.join(conditions)} }};"
