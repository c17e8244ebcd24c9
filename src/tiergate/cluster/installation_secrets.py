"""Secrets that an installation needs, made once: a namespace's Secrets are created where they are missing.

They are only ever created, never read or changed: a Secret that is there already stays, whatever it holds, and of
several who make one at a time the API server takes the first. So everything that belongs together is in one Secret, and
whoever runs this needs no further right than to create Secrets.

How keys are made, others say.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.cluster.kubernetes_api import secret_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tiergate.cluster.kubernetes_api import Api

SIGNING_KEY: Final = "signing-key.pem"
PUBLIC_KEY: Final = "public-key.pem"
ADMIN_KEY: Final = "admin.key"

_LABELS: Final = {"app.kubernetes.io/managed-by": "tiergate", "app.kubernetes.io/part-of": "tiergate"}


class Wanted(NamedTuple):
    """A Secret that there should be; `make` makes up its values, by key."""

    name: str
    make: Callable[[], Mapping[str, str]]


def create_missing(api: Api, wanted: Iterable[Wanted]) -> dict[str, bool]:
    """Create Secrets in the namespace of `api`; say of each, by name, whether it was created, or was there already.

    Raises:
        ClusterError: the API server does not let it. What was created before stays; another run goes on from there.
    """
    return {one.name: _create(api, one) for one in wanted}


def _create(api: Api, wanted: Wanted) -> bool:
    values = {key: base64.b64encode(value.encode()).decode() for key, value in wanted.make().items()}
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": wanted.name, "labels": _LABELS},
        "type": "Opaque",
        "data": values,
    }
    return api.create(secret_path(api.namespace), body)
