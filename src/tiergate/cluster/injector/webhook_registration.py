"""The injector's certificate in the cluster: one Secret that all replicas share, and the webhook that is told of it.

What should be in the Secret, `certificates` says. Here it is read, written and told by the API server, which decides
where several replicas do that at once: who comes second reads what the first one wrote.
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

    from tiergate.cluster.kubernetes_api import Api

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
    def told(self) -> str:
        """The authorities that all of its webhooks trust, in PEM; nothing where they do not agree."""
        bundles = {one.client_config.ca_bundle for one in self.webhooks}
        return bundles.pop().decode("ascii", "replace") if len(bundles) == 1 else ""


class Registration:
    """One Secret and one webhook's configuration. `clock` gives the present in UTC."""

    def __init__(
        self,
        api: Api,
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

    def bring(self) -> StoredCertificates:
        """See to it that there is a certificate that can be used and is trusted; return it.

        Raises:
            ClusterError: the API server does not let it, there is no such webhook, or others keep changing things.
        """
        for _ in range(_ATTEMPTS):
            configuration = self._read_webhook()
            secret = self._api.read(secret_path(self._api.namespace, self._secret), Secret)
            kept = None if secret is None else StoredCertificates.from_secret(secret.data or {})
            wanted = renew_certificates(kept, self._names, self._clock(), trusted=configuration.told)
            if wanted != kept:
                if self._write(secret, wanted):
                    _log.info("made a certificate", secret=self._secret, names=self._names)
                continue  # and look again, at what now stands there
            if self._tell(configuration, wanted):
                return wanted
        raise ClusterError(webhook_path(self._webhook), "others keep changing it, or the Secret of the certificate")

    def _read_webhook(self) -> _Configuration:
        path = webhook_path(self._webhook)
        found = self._api.read(path, _Configuration)
        if found is None:
            raise ClusterError(path, "there is no such webhook configuration")
        return found

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

    def _tell(self, configuration: _Configuration, kept: StoredCertificates) -> bool:
        """Say whether all webhooks trust what is kept; where not, tell them. Then all must be looked at again."""
        authorities = kept.authorities.encode()
        wrong = [
            number for number, one in enumerate(configuration.webhooks) if one.client_config.ca_bundle != authorities
        ]
        if not wrong:
            return True
        value = base64.b64encode(authorities).decode()
        change: list[dict[str, object]] = [
            {"op": "test", "path": _VERSION, "value": configuration.metadata.resource_version}
        ]
        change += [
            {"op": "add", "path": f"/webhooks/{number}/clientConfig/caBundle", "value": value} for number in wrong
        ]
        if self._api.patch(webhook_path(self._webhook), change):
            _log.info("told the webhook whom to trust", webhook=self._webhook)
        return False
