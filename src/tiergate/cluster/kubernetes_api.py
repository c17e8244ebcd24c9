"""A client of the Kubernetes API with the identity of this pod: read, create, replace and patch objects.

Objects are paths and JSON. The token is read for every request, because the kubelet replaces it. Requests use HTTPS,
verified by the CA of the cluster; they follow no redirects and use no proxies of the environment; the size and time of
responses are limited.

Conflicts with other clients are results, not errors: `create` returns false if the object exists already, `replace`
returns `None` if it has changed since it was read.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypeVar

import httpx
import msgspec

from tiergate import __version__
from tiergate.errors import ClusterError, SettingsError
from tiergate.process.request_deadline import enforce_deadlines, request_deadline

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet puts the token and namespace of a pod, and the CA certificate of the cluster."""

_TIMEOUT: Final = 10.0
_MAX_BYTES: Final = 4 * 1024**2
_MAX_FAILURE: Final = 64 * 1024
_JSON: Final = "application/json"

T = TypeVar("T")


class ObjectMeta(msgspec.Struct, frozen=True, rename="camel"):
    """The metadata of an object, as far as it is used."""

    name: str
    namespace: str = ""
    resource_version: str = ""
    uid: str = ""


class Secret(msgspec.Struct, frozen=True, rename="camel"):
    """A Secret with decoded values."""

    metadata: ObjectMeta
    data: dict[str, bytes] | None = None
    type: str = "Opaque"


class _Status(msgspec.Struct, frozen=True):
    message: str = ""
    reason: str = ""


class KubernetesApi:
    """A client of one API server, as one service account. Safe to use from several threads; close it at the end."""

    def __init__(self, url: str, folder: Path, *, timeout: float = _TIMEOUT) -> None:
        """Send nothing yet. `folder` has `token`, `ca.crt` and `namespace`; `timeout`: seconds for a whole request.

        Raises:
            SettingsError: the folder cannot be read, or the URL is not https; of `service-account`.
        """
        if not url.startswith("https://"):
            raise SettingsError("kubernetes", f"`{url}` must be https")
        self._folder = folder
        self.namespace = self._read("namespace")
        try:
            trusted = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        except OSError as error:
            raise SettingsError("service-account", f"`{folder / 'ca.crt'}` cannot be used: {error.strerror}") from None
        self._timeout = timeout
        self._client = enforce_deadlines(
            httpx.Client(
                base_url=url,
                verify=trusted,
                timeout=timeout,
                trust_env=False,
                follow_redirects=False,
                headers={"user-agent": f"tiergate/{__version__}", "accept": _JSON},
            )
        )

    @classmethod
    def of_this_pod(cls, environ: Mapping[str, str], folder: Path = SERVICE_ACCOUNT) -> Self:
        """Return a client of the cluster that this process runs in, from the variables of every pod.

        Raises:
            SettingsError: this is not a pod, or it has no token.
        """
        host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            raise SettingsError(
                "service-account", "this is not a pod: the variable `KUBERNETES_SERVICE_HOST` is not set"
            )
        return cls(f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}", folder)

    def read(self, path: str, kind: type[T]) -> T | None:
        """Read the fields of an object that the struct `kind` names; `None` if it does not exist.

        Raises:
            ClusterError: the request fails, is rejected, or has an unexpected response.
        """
        response = self._request("GET", path)
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        return self._decode(path, self._successful_content(path, response), kind)

    def create(self, collection: str, body: Mapping[str, object]) -> bool:
        """Create an object; return false if one with its name exists already, which stays as it is.

        Raises:
            ClusterError: as `read`.
        """
        response = self._request("POST", collection, body)
        if response.status_code == httpx.codes.CONFLICT and _status(response).reason == "AlreadyExists":
            return False
        self._successful_content(collection, response)
        return True

    def replace(self, path: str, body: Mapping[str, object], kind: type[T]) -> T | None:
        """Replace the object that has the same `resourceVersion`; return `None` if it has changed or is gone.

        Raises:
            ClusterError: as `read`.
        """
        response = self._request("PUT", path, body)
        if response.status_code in {httpx.codes.CONFLICT, httpx.codes.NOT_FOUND}:
            return None
        return self._decode(path, self._successful_content(path, response), kind)

    def patch(self, path: str, operations: list[dict[str, object]]) -> bool:
        """Apply a JSON Patch (RFC 6902); return false if a `test` in it fails or the object does not exist.

        Raises:
            ClusterError: as `read`.
        """
        response = self._request("PATCH", path, operations, "application/json-patch+json")
        if response.status_code in {httpx.codes.NOT_FOUND, httpx.codes.CONFLICT, httpx.codes.UNPROCESSABLE_ENTITY}:
            return False
        self._successful_content(path, response)
        return True

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _request(self, method: str, path: str, body: object = None, media: str = _JSON) -> httpx.Response:
        headers = {"authorization": f"Bearer {self._read('token')}"}
        content = None
        if body is not None:
            headers["content-type"] = media
            content = msgspec.json.encode(body)
        try:
            with (
                request_deadline(self._timeout),
                self._client.stream(method, path, headers=headers, content=content) as response,
            ):
                read = b""
                for piece in response.iter_bytes():
                    read += piece
                    if len(read) > _MAX_BYTES:
                        raise ClusterError(self._url(path), f"the response has more than {_MAX_BYTES} bytes")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            detail = str(error) or type(error).__name__
            raise ClusterError(self._url(path), f"cannot reach the API server: {detail}") from None
        return httpx.Response(response.status_code, content=read)

    def _successful_content(self, path: str, response: httpx.Response) -> bytes:
        if response.is_success:
            return response.content
        message = _status(response).message or "no reason given"
        status = response.status_code
        raise ClusterError(self._url(path), f"the API server returned {status}: {message}", status)

    def _decode(self, path: str, content: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.DecodeError as error:
            raise ClusterError(self._url(path), f"unexpected response of the API server: {error}") from None

    def _url(self, path: str) -> str:
        return str(self._client.base_url).rstrip("/") + path

    def _read(self, name: str) -> str:
        path = self._folder / name
        try:
            text = path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError("service-account", f"`{path}` cannot be read: {error}") from None
        if not text or not text.isascii() or not text.isprintable():
            raise SettingsError("service-account", f"`{path}` must have one line of visible characters")
        return text


def secret_path(namespace: str, name: str = "") -> str:
    """Return the path of a Secret; without a name, of the collection of the namespace."""
    return f"/api/v1/namespaces/{namespace}/secrets" + (f"/{name}" if name else "")


def configmap_path(namespace: str, name: str = "") -> str:
    """Return the path of a ConfigMap; without a name, of the collection of the namespace."""
    return f"/api/v1/namespaces/{namespace}/configmaps" + (f"/{name}" if name else "")


def webhook_path(name: str) -> str:
    """Return the path of a MutatingWebhookConfiguration."""
    return f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{name}"


def _status(response: httpx.Response) -> _Status:
    try:
        return msgspec.json.decode(response.content[:_MAX_FAILURE], type=_Status)
    except msgspec.DecodeError:
        return _Status()
