"""A peer's request, written once: filled in for one question, or translated to Lua for wrk.

Placeholders in paths and bodies: `$customer`, `$feature` and `$used` are numbers; `$plans` is a JSON list of the ids of
the customer's plans; `$plan` is the id of the first one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.race.facts import LARGEST, Facts, Question

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLACEHOLDER = re.compile(r"\$(customer|feature|used|plans|plan)\b")
_LUA = {"plans": "plans[customer + 1]", "plan": "plan[customer + 1]"}


@dataclass(frozen=True)
class Request:
    """A POST request with placeholders. The header `Content-Type: application/json` is always sent."""

    path: str
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def fill(self, question: Question, facts: Facts) -> tuple[str, str]:
        """Return path and body for one question."""
        plans = [f"p{plan}" for plan in facts.subscriptions[question.customer]]
        values = {
            "customer": str(question.customer),
            "feature": str(question.feature),
            "used": str(question.used),
            "plans": json.dumps(plans, separators=(",", ":")),
            "plan": plans[0],
        }
        path, body = (_PLACEHOLDER.sub(lambda found: values[found[1]], text) for text in (self.path, self.body))
        return path, body

    def repeated_script(self, question: Question, facts: Facts) -> str:
        """Return wrk's script that sends one question again and again."""
        path, body = self.fill(question, facts)
        text = json.dumps(f"{self._head(path)}{len(body)}\r\n\r\n{body}")
        return f"local text = {text}\nfunction request() return text end\n"

    def varying_script(self, facts: Facts) -> str:
        """Return wrk's script that sends random questions."""
        lines = []
        if "$plan" in self.path + self.body:
            held = [[f"p{plan}" for plan in plans] for plans in facts.subscriptions]
            lists = ",".join(json.dumps(json.dumps(plans, separators=(",", ":"))) for plans in held)
            lines += [f"plans = {{{lists}}}", f"plan = {{{','.join(json.dumps(plans[0]) for plans in held)}}}"]
        path = f" .. {_expression(self.path)} .. "
        head = path.join(json.dumps(part) for part in self._head("$").split("$"))
        return "\n".join(
            [
                *lines,
                "local random = math.random",
                "function init() math.randomseed(os.time()) end",
                "function request()",
                f"  local customer, feature = random(0, {facts.customers - 1}), random(0, {facts.features - 1})",
                f"  local used = random(0, {LARGEST})",
                f"  local body = {_expression(self.body)}",
                f'  return {head} .. #body .. "\\r\\n\\r\\n" .. body',
                "end\n",
            ]
        )

    def _head(self, path: str) -> str:
        """Return the request's head up to its length."""
        headers = {"Host": "localhost", "Content-Type": "application/json", **self.headers}
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "Content-Length: "]
        return "\r\n".join(lines)


def _expression(text: str) -> str:
    """Return a Lua expression that puts a text together from the variables of its placeholders."""
    parts = _PLACEHOLDER.split(text)
    return " .. ".join(
        _LUA.get(part, part) if number % 2 else json.dumps(part) for number, part in enumerate(parts) if part
    )
