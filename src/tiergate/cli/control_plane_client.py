"""The client of a control plane that commands use: its URL and key, its requests, and its problems as errors."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple
from urllib.parse import quote, urlsplit

import typer

from tiergate.errors import (
    CallerError,
    LossError,
    OutdatedReviewError,
    PublishError,
    RequestError,
    SettingsError,
    SyncError,
)
from tiergate.http.loopback import is_loopback

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Iterator, Mapping

    import httpx

    from tiergate.model import Problem

ControlPlaneUrl = Annotated[
    str,
    typer.Option("--control-plane", envvar="TIERGATE_CONTROL_PLANE", metavar="URL", help="The control plane's URL."),
]
_KEY_FILE = typer.Option(
    "--key-file",
    envvar="TIERGATE_KEY_FILE",
    metavar="PATH",
    help="A file with an API key or token for the control plane.",
)
KeyFile = Annotated[Path, _KEY_FILE]
OptionalKeyFile = Annotated[Path | None, _KEY_FILE]
DEFAULT_URL = "http://127.0.0.1:8440"

_TIMEOUT = 60.0
_RATE = 4096.0  # bytes per second below which a transfer is not slow but stuck
_PATIENCE = 900.0  # for requests that examine all customers before the response begins


class ControlPlaneOptions(NamedTuple):
    """The options of a command that needs a control plane."""

    key_file: KeyFile
    control_plane: ControlPlaneUrl = DEFAULT_URL

    def client(self) -> ControlPlane:
        """Make the client; the errors are those of `ControlPlane`."""
        return ControlPlane(self.control_plane, self.key_file)


class OptionalControlPlaneOptions(NamedTuple):
    """The options of a command that can use a control plane."""

    control_plane: ControlPlaneUrl = DEFAULT_URL
    key_file: OptionalKeyFile = None

    def client(self) -> ControlPlane | None:
        """Make the client if a key file is given; the errors are those of `ControlPlane`."""
        return None if self.key_file is None else ControlPlane(self.control_plane, self.key_file)


class ControlPlane:
    """One control plane, called with one key.

    Every request raises SyncError if the control plane does not answer, fails or breaks off, RequestError if it rejects
    the request, and PublishError if it finds problems in files.
    """

    def __init__(self, url: str, key_file: Path, *, verify: ssl.SSLContext | bool = True) -> None:
        """Read the key; nothing is sent yet.

        Raises:
            SettingsError: if the URL is not valid, would carry the key in the clear, or the file has no key.
            OSError: if the file cannot be read.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise SettingsError("control-plane", f"`{url}` must be a URL such as `https://tiergate.example.com`")
        self._is_local = is_loopback(parts.hostname)
        if parts.scheme == "http" and not self._is_local:
            raise SettingsError("control-plane", f"`{url}` must be https: the key would be sent in the clear")
        key = key_file.read_text(encoding="utf-8").strip()
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise SettingsError("key-file", f"`{key_file}` must contain one key or token, and nothing else")
        self.url = url.rstrip("/")
        self._key = key
        self._verify = verify

    def call(self, method: str, path: str, *, body: object = None, reason: str = "", **query: str) -> Any:  # noqa: ANN401
        """Send a request and return the JSON of the response; none if it has no body. `reason`: for the audit log."""
        headers = {"tiergate-reason": quote(reason)} if reason else None
        return self._receive_json(method, path, params=query, json=body, headers=headers)

    def publish(self, path: str, body: object, if_match: str | None = None) -> Any:  # noqa: ANN401 - JSON
        """Request a publication, which takes as long as it takes to examine all customers.

        `if_match`: the entity tag of what must be published, with or without quotes.

        Raises:
            LossError: if customers would lose something or get less.
            OutdatedReviewError: if the tag does not match.
        """
        headers = {} if if_match is None else {"if-match": '"{}"'.format(if_match.strip('"'))}
        return self._receive_json("POST", path, json=body, headers=headers, timeout=_PATIENCE)

    def download(self, path: str) -> tuple[bytes, str]:
        """Get bytes as they are, and their `ETag` without its quotes."""
        response = self._receive("GET", path)
        return response.content, response.headers.get("etag", "").strip('"')

    def post_json(self, path: str, body: bytes) -> bytes:
        """Send encoded JSON and return the encoded JSON of the response: numbers keep all of their digits."""
        return self._receive("POST", path, content=body, headers={"content-type": "application/json"}).content

    def post_lines(self, path: str, lines: Iterable[str]) -> Any:  # noqa: ANN401 - JSON
        """Stream lines of JSON and return the JSON of the response."""
        content = (line.encode() for line in lines)
        return self._receive_json("POST", path, content=content, headers={"content-type": "application/x-ndjson"})

    def stream_lines(self, method: str, path: str, *, body: object = None) -> Iterator[str]:
        """Send a request and yield the lines of the response as they arrive."""
        with self._request(method, path, json=body, timeout=_PATIENCE) as response:
            yield from response.iter_lines()

    def list_all(self, path: str, **query: str) -> Iterator[Any]:
        """Yield all entries of a list, page by page."""
        cursor: dict[str, str] = {}
        while True:
            page = self.call("GET", path, limit="500", **query, **cursor)
            yield from page["items"]
            if page["next"] is None:
                return
            cursor = {"cursor": page["next"]}

    def _receive_json(self, method: str, path: str, **content: Any) -> Any:  # noqa: ANN401
        response = self._receive(method, path, **content)
        return response.json() if response.content else None

    def _receive(self, method: str, path: str, **content: Any) -> httpx.Response:  # noqa: ANN401
        with self._request(method, path, **content) as response:
            response.read()
            return response

    @contextmanager
    def _request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **content: Any,  # noqa: ANN401 - as httpx takes it
    ) -> Iterator[httpx.Response]:
        import httpx

        from tiergate.process.request_deadline import enforce_deadlines, request_deadline

        timeout = timeout or _TIMEOUT
        client = httpx.Client(
            timeout=httpx.Timeout(_TIMEOUT, read=timeout),
            follow_redirects=False,
            trust_env=not self._is_local,  # a proxy is for other machines
            verify=self._verify,
        )
        sent = {"authorization": f"Bearer {self._key}", **(headers or {})}
        try:
            with (
                request_deadline(timeout, _RATE),
                enforce_deadlines(client),
                client.stream(method, self.url + path, headers=sent, **content) as response,
            ):
                if not response.is_success:
                    response.read()
                    raise _error(self.url, response)
                yield response
        except httpx.HTTPError as error:
            raise SyncError(self.url, f"the control plane does not answer: {error}") from None


def read_problems(entries: Iterable[dict[str, Any]]) -> list[Problem]:
    """Read problems in files, or in places of the store, from the control plane's JSON."""
    from tiergate.model import Problem

    return [
        Problem(entry["file"], entry.get("line") or 0, entry.get("column") or 0, entry["code"], entry["detail"])
        for entry in entries
    ]


def _error(url: str, response: httpx.Response) -> CallerError | PublishError | SyncError:
    try:
        problem = response.json()
        title, detail = str(problem["title"]), str(problem["detail"])
        if isinstance(problem.get("impact"), dict):
            return LossError(detail, problem["impact"], str(problem.get("accept_loss", "")))
        if response.status_code == 412:
            return OutdatedReviewError(detail, str(problem.get("etag", "")))
        errors = problem.get("errors", [])
        in_files = [entry for entry in errors if entry.get("file")]
        if in_files:
            return PublishError(read_problems(in_files))
        details = [f"{entry.get('pointer') or ''}: {entry['detail']}" for entry in errors]
    except (ValueError, KeyError, TypeError, AttributeError):
        status = response.status_code
        return SyncError(url, f"unexpected response {status}: not a Tiergate control plane", status)
    if response.status_code >= 500:
        return SyncError(url, f"{title}: {detail}", response.status_code)
    return RequestError(response.status_code, title, "; ".join(details) or detail)
