"""Create the Secrets that an installation needs, if they are missing.

Secrets are only created, never read or changed: an existing Secret stays as it is, and of concurrent creations the API
server accepts the first. So everything that belongs together is in one Secret, and this needs no permission but to
create Secrets.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.cluster.kubernetes_api import secret_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tiergate.cluster.kubernetes_api import KubernetesApi

SIGNING_KEY: Final = "signing-key.pem"
PUBLIC_KEY: Final = "public-key.pem"
ADMIN_KEY: Final = "admin.key"

_LABELS: Final = {"app.kubernetes.io/managed-by": "tiergate", "app.kubernetes.io/part-of": "tiergate"}


class SecretTemplate(NamedTuple):
    """A Secret to create; `make` generates its values, by key."""

    name: str
    make: Callable[[], Mapping[str, str]]


def create_missing_secrets(api: KubernetesApi, wanted: Iterable[SecretTemplate]) -> dict[str, bool]:
    """Create Secrets in the namespace of `api`; return for each name whether it was created, or existed already.

    Raises:
        ClusterError: the API server rejects a request. Secrets that were created stay; another run continues.
    """
    return {it.name: _create(api, it) for it in wanted}


def _create(api: KubernetesApi, wanted: SecretTemplate) -> bool:
    values = {key: base64.b64encode(value.encode()).decode() for key, value in wanted.make().items()}
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": wanted.name, "labels": _LABELS},
        "type": "Opaque",
        "data": values,
    }
    return api.create(secret_path(api.namespace), body)
