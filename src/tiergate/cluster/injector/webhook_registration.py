"""The injector's certificate in the cluster: a Secret that all replicas share, and the CA certificates of the webhook.

`certificates` decides what the Secret should have. If several replicas write at once, the API server accepts the first,
and the others read its result.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from tiergate.cluster.injector.certificates import StoredCertificates, renew_certificates
from tiergate.cluster.kubernetes_api import ObjectMeta, Secret, secret_path, webhook_path
from tiergate.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tiergate.cluster.kubernetes_api import KubernetesApi

_ATTEMPTS: Final = 10
_VERSION: Final = "/metadata/resourceVersion"

_log = structlog.get_logger(__name__)


class _ClientConfig(msgspec.Struct, frozen=True, rename="camel"):
    ca_bundle: bytes = b""


class _Webhook(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    client_config: _ClientConfig


class _Configuration(msgspec.Struct, frozen=True):
    metadata: ObjectMeta
    webhooks: tuple[_Webhook, ...] = ()

    @property
    def trusted(self) -> str:
        """The CA certificates that all of its webhooks trust, in PEM; empty if they differ."""
        bundles = {hook.client_config.ca_bundle for hook in self.webhooks}
        return bundles.pop().decode("ascii", "replace") if len(bundles) == 1 else ""


class WebhookRegistration:
    """A Secret and a webhook configuration. `clock` returns the present in UTC."""

    def __init__(
        self,
        api: KubernetesApi,
        *,
        secret: str,
        webhook: str,
        names: Sequence[str],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api = api
        self._secret = secret
        self._webhook = webhook
        self._names = tuple(names)
        self._clock = clock

    def update(self) -> StoredCertificates:
        """Create or renew the certificate if necessary, and make the webhook trust it; return it.

        Raises:
            ClusterError: a request fails, the webhook does not exist, or other clients keep changing it.
        """
        for _ in range(_ATTEMPTS):
            configuration = self._read_webhook()
            secret = self._api.read(secret_path(self._api.namespace, self._secret), Secret)
            stored = None if secret is None else StoredCertificates.from_secret(secret.data or {})
            wanted = renew_certificates(stored, self._names, self._clock(), trusted=configuration.trusted)
            if wanted != stored:
                if self._write(secret, wanted):
                    _log.info("certificate created", secret=self._secret, names=self._names)
                continue  # and read again
            if self._register(configuration, wanted):
                return wanted
        raise ClusterError(webhook_path(self._webhook), "other clients keep changing it or the Secret")

    def _read_webhook(self) -> _Configuration:
        path = webhook_path(self._webhook)
        configuration = self._api.read(path, _Configuration)
        if configuration is None:
            raise ClusterError(path, "there is no such webhook configuration")
        return configuration

    def _write(self, secret: Secret | None, wanted: StoredCertificates) -> bool:
        values = {name: base64.b64encode(value).decode() for name, value in wanted.to_secret().items()}
        if secret is None:
            metadata = {"name": self._secret, "labels": {"app.kubernetes.io/managed-by": "tiergate-injector"}}
            body = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": values}
            return self._api.create(secret_path(self._api.namespace), body)
        change: list[dict[str, object]] = [{"op": "test", "path": _VERSION, "value": secret.metadata.resource_version}]
        if secret.data is None:
            change.append({"op": "add", "path": "/data", "value": values})
        else:
            change += [{"op": "add", "path": f"/data/{name}", "value": value} for name, value in values.items()]
        return self._api.patch(secret_path(self._api.namespace, self._secret), change)

    def _register(self, configuration: _Configuration, stored: StoredCertificates) -> bool:
        """Return whether all webhooks trust the CA; if not, set their `caBundle`, to be read again."""
        authorities = stored.authorities.encode()
        wrong = [
            index for index, hook in enumerate(configuration.webhooks) if hook.client_config.ca_bundle != authorities
        ]
        if not wrong:
            return True
        value = base64.b64encode(authorities).decode()
        change: list[dict[str, object]] = [
            {"op": "test", "path": _VERSION, "value": configuration.metadata.resource_version}
        ]
        change += [{"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": value} for index in wrong]
        if self._api.patch(webhook_path(self._webhook), change):
            _log.info("CA certificate registered", webhook=self._webhook)
        return False
