"""The Kubernetes API, as a pod may use it: objects read, created, replaced and patched under the pod's own identity.

It knows no kinds of objects: a path names one, JSON is one. The token is read again at every request, for the kubelet
replaces it. Nothing but HTTPS is spoken, to a server that the cluster's own authority vouches for; redirects are not
followed, the environment's proxies not used, answers and times bounded.

What others decide at the same time shows in answers that are no errors: `create` says false where the object is there
already, `replace` none where it has changed since it was read.
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
"""Where the kubelet puts a pod's token, namespace and the cluster's authority."""

_TIMEOUT: Final = 10.0
_MOST_BYTES: Final = 4 * 1024**2
_MOST_FAILURE: Final = 64 * 1024
_JSON: Final = "application/json"

T = TypeVar("T")


class ObjectMeta(msgspec.Struct, frozen=True, rename="camel"):
    """What is read of an object's metadata."""

    name: str
    namespace: str = ""
    resource_version: str = ""
    uid: str = ""


class Secret(msgspec.Struct, frozen=True, rename="camel"):
    """What is read of a Secret: its values, decoded."""

    metadata: ObjectMeta
    data: dict[str, bytes] | None = None
    type: str = "Opaque"


class _Status(msgspec.Struct, frozen=True):
    message: str = ""
    reason: str = ""


class Api:
    """One API server, asked as one service account. Safe to use from several threads; close it at the end."""

    def __init__(self, url: str, folder: Path, *, timeout: float = _TIMEOUT) -> None:
        """Prepare; nothing is sent yet. `folder` holds `token`, `ca.crt` and `namespace`.

        `timeout`: seconds for a request as a whole.

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
        """The API server of the cluster that this process runs in, as Kubernetes tells every pod.

        Raises:
            SettingsError: this is no pod, or it has no token.
        """
        host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            raise SettingsError("service-account", "this is no pod: the variable `KUBERNETES_SERVICE_HOST` is not set")
        return cls(f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}", folder)

    def read(self, path: str, kind: type[T]) -> T | None:
        """Read an object as far as `kind`, a struct, names its fields; none where there is no such object.

        Raises:
            ClusterError: there is no answer, or not this one.
        """
        answer = self._ask("GET", path)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return self._decode(path, self._accepted(path, answer), kind)

    def create(self, collection: str, body: Mapping[str, object]) -> bool:
        """Create an object; false where there is one of its name already, which then stays as it is.

        Raises:
            ClusterError: as `read`.
        """
        answer = self._ask("POST", collection, body)
        if answer.status_code == httpx.codes.CONFLICT and _status(answer).reason == "AlreadyExists":
            return False
        self._accepted(collection, answer)
        return True

    def replace(self, path: str, body: Mapping[str, object], kind: type[T]) -> T | None:
        """Put an object in the place of the one whose `resourceVersion` it has; none where that one is no more.

        Raises:
            ClusterError: as `read`.
        """
        answer = self._ask("PUT", path, body)
        if answer.status_code in {httpx.codes.CONFLICT, httpx.codes.NOT_FOUND}:
            return None
        return self._decode(path, self._accepted(path, answer), kind)

    def patch(self, path: str, operations: list[dict[str, object]]) -> bool:
        """Change an object by a JSON Patch (RFC 6902); false where a `test` in it fails, or there is no such object.

        Raises:
            ClusterError: as `read`.
        """
        answer = self._ask("PATCH", path, operations, "application/json-patch+json")
        if answer.status_code in {httpx.codes.NOT_FOUND, httpx.codes.CONFLICT, httpx.codes.UNPROCESSABLE_ENTITY}:
            return False
        self._accepted(path, answer)
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

    def _ask(self, method: str, path: str, body: object = None, media: str = _JSON) -> httpx.Response:
        headers = {"authorization": f"Bearer {self._read('token')}"}
        content = None
        if body is not None:
            headers["content-type"] = media
            content = msgspec.json.encode(body)
        try:
            with (
                request_deadline(self._timeout),
                self._client.stream(method, path, headers=headers, content=content) as answer,
            ):
                read = b""
                for piece in answer.iter_bytes():
                    read += piece
                    if len(read) > _MOST_BYTES:
                        raise ClusterError(self._url(path), f"answered more than {_MOST_BYTES} bytes")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            detail = str(error) or type(error).__name__
            raise ClusterError(self._url(path), f"the API server does not answer: {detail}") from None
        return httpx.Response(answer.status_code, content=read)

    def _accepted(self, path: str, answer: httpx.Response) -> bytes:
        if answer.is_success:
            return answer.content
        said = _status(answer).message or "no reason given"
        status = answer.status_code
        raise ClusterError(self._url(path), f"the API server says {status}: {said}", status)

    def _decode(self, path: str, content: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.DecodeError as error:
            raise ClusterError(self._url(path), f"the API server's answer is not understood: {error}") from None

    def _url(self, path: str) -> str:
        return str(self._client.base_url).rstrip("/") + path

    def _read(self, name: str) -> str:
        path = self._folder / name
        try:
            text = path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError("service-account", f"`{path}` cannot be read: {error}") from None
        if not text or not text.isascii() or not text.isprintable():
            raise SettingsError("service-account", f"`{path}` must hold one line of visible characters")
        return text


def secret_path(namespace: str, name: str = "") -> str:
    """The path of a Secret; without a name, that of all Secrets of the namespace, to create one in."""
    return f"/api/v1/namespaces/{namespace}/secrets" + (f"/{name}" if name else "")


def configmap_path(namespace: str, name: str = "") -> str:
    """The path of a ConfigMap, or of all of a namespace."""
    return f"/api/v1/namespaces/{namespace}/configmaps" + (f"/{name}" if name else "")


def webhook_path(name: str) -> str:
    """The path of a configuration of mutating webhooks."""
    return f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{name}"


def _status(answer: httpx.Response) -> _Status:
    try:
        return msgspec.json.decode(answer.content[:_MOST_FAILURE], type=_Status)
    except msgspec.DecodeError:
        return _Status()
