"""A sidecar that counts usage, for tests: its catalog has each kind of metered feature."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tests.serving import Service, customer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.serving import Where

CATALOG = """\
apiVersion: tiergate/v1
features:
  - {id: calls, type: quantity, unit: calls, metered: {reset: month}}
  - {id: reports, type: quantity, metered: {reset: month}, caps: {per_user: 6}}
  - {id: exports, type: quantity, metered: {reset: day, limit: soft, overage_max: 2}}
  - {id: traffic, type: quantity, scale: 2, metered: {reset: never}}
  - {id: credits, type: quantity, metered: {reset: never}}
  - {id: images, type: quantity, metered: {reset: never}, draws: {from: credits, cost: 3}}
  - {id: beds, type: quantity, metered: {reset: never}, caps: {total: 12}}
  - {id: seats, type: quantity}
items:
  - id: gold
    kind: plan
    entitlements:
      {calls: 10, reports: 10, exports: 3, traffic: 1.5, credits: 20, images: unlimited, beds: 10, seats: 5}
"""


@contextlib.contextmanager
def counting(folder: Path, catalog: str = CATALOG) -> Iterator[tuple[Service, Where]]:
    """Serve acme and beta, with a plan each; usage is counted in a folder."""
    service = Service(customer("acme"), customer("beta"), catalog=catalog, usage=folder)
    with service.serve() as where:
        yield service, where
