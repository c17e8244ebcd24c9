"""Open Policy Agent: one rule in Rego, plans and customers as data."""

from __future__ import annotations

import json

from benchmarks.race.peer import CHANGED_LIMIT, Peer, send
from benchmarks.race.requests import Request

_POLICY = """\
package entitlements

default allow := false

allow if {
	some plan in data.customers[input.subject]
	input.used < data.plans[plan][input.feature]
}
"""


class Opa(Peer):
    """OPA's server with a policy and data from files."""

    name = "OPA"
    program = "opa"
    version_arguments = ("version",)
    difference = (
        "It looks up the customer's plans; the answer is a bare boolean. The change is pushed by its REST API: its "
        "bundles poll every 10 to 60 seconds."
    )
    request = Request(
        "/v1/data/entitlements/allow", '{"input":{"subject":"c$customer","feature":"f$feature","used":$used}}'
    )

    def write_files(self) -> None:
        """Write the policy and the data."""
        plans = {
            f"p{plan}": {f"f{feature}": limit for feature, limit in enumerate(limits)}
            for plan, limits in enumerate(self.facts.limits)
        }
        customers = {
            f"c{customer}": [f"p{plan}" for plan in plans] for customer, plans in enumerate(self.facts.subscriptions)
        }
        (self.home / "policy.rego").write_text(_POLICY, "utf-8")
        (self.home / "data.json").write_text(json.dumps({"plans": plans, "customers": customers}), "utf-8")

    def command(self, port: int) -> list[str]:
        """Return the command of the server."""
        command = [self.program, "run", "--server", "--addr", f"127.0.0.1:{port}", "--log-level", "error"]
        command += ["--skip-version-check", "--optimize-store-for-read-speed"]
        return [*command, str(self.home / "policy.rego"), str(self.home / "data.json")]

    def read_answer(self, body: bytes) -> bool:
        """Return the result of the rule."""
        return bool(json.loads(body)["result"])

    def change(self, port: int) -> str | None:
        """Replace the limit in the data."""
        send(port, "PUT", "/v1/data/plans/p0/f1", str(CHANGED_LIMIT))
        return "REST push"
