"""The design's own examples, a little richer; and a YAML reader that is not ours."""

from __future__ import annotations

import yaml

CATALOG = """\
apiVersion: tiergate/v1
features:
  - {id: analytics, name: Analytics, type: switch, tags: [reports]}
  - {id: api-limit, type: range, unit: requests/min, min: 100, max: 1000}
  - {id: movies, type: quantity, unit: movies/month, levels: [20, 30, 50, unlimited], metered: {reset: month}}
  - {id: storage, type: quantity, unit: GB, scale: 3, combine: max, batch: {minimum: 1, increment: 0.5}}
  - {id: support, type: custom, levels: [email, chat, "no", "24/7: phone"]}
items:
  - id: extra-movies
    kind: addon
    available_for: [gold]
    version: 1
    entitlements: {movies: {add: 10, per: subscription}}
  - id: gold
    kind: plan
    versions:
      - version: 3
        entitlements: {analytics: true, api-limit: 800, movies: 50, storage: 10.5, support: "24/7: phone"}
      - version: 4
        entitlements: {}
    rollouts: [{version: 4, from: 2026-11-01T00:00:00Z, audience: {share: 12.5}}]
"""

SUBJECTS = """\
apiVersion: tiergate/v1
customers:
  - {id: acme, tags: [eu], overrides: [{feature: analytics, value: true, from: 2026-11-01T00:00:00Z, reason: pilot}]}
subscriptions:
  - id: sub_1
    customer: acme
    status: active
    items: [{item: gold, quantity: 1}, {item: extra-movies, quantity: 2}]
    overrides: [{feature: movies, mode: at_least, value: 70, until: 2027-01-01T00:00:00Z}]
"""

CUSTOMER = '{"type": "customer", "id": "acme"}'
SUBSCRIPTION = (
    '{"type": "subscription", "id": "s", "customer": "acme", "status": "active", "items": [{"item": "gold"}]}'
)


class PyYaml(yaml.CSafeLoader):
    """PyYAML's own loader, instants left as text."""


PyYaml.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith("timestamp")]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
