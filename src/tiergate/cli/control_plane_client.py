"""The control plane as commands ask it: where it is, with which key, and what its problems are for a command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

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
    from collections.abc import Iterable, Iterator, Mapping

    import httpx

    from tiergate.model import Problem

ControlPlaneUrl = Annotated[
    str,
    typer.Option("--control-plane", envvar="TIERGATE_CONTROL_PLANE", metavar="URL", help="Where the control plane is."),
]
KeyFile = Annotated[
    Path,
    typer.Option(
        "--key-file", envvar="TIERGATE_KEY_FILE", metavar="PATH", help="A file with the API key or token to ask with."
    ),
]

OptionalKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        envvar="TIERGATE_KEY_FILE",
        metavar="PATH",
        help="A file with the API key or token to ask the control plane with.",
    ),
]

DEFAULT_URL = "http://127.0.0.1:8440"

_TIMEOUT = 60.0
_RATE = 4096.0  # bytes per second that go on for as long as they have to
_PATIENCE = 900.0  # where customers are asked about before there is an answer


class ControlPlane:
    """One control plane, asked with one key."""

    def __init__(self, url: str, key_file: Path) -> None:
        """Prepare; nothing is asked yet.

        Raises:
            SettingsError: the URL is none, would carry the key in the clear, or the file has no key.
            OSError: the file cannot be read.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise SettingsError("control-plane", f"`{url}` must be a URL such as `https://tiergate.example.com`")
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise SettingsError("control-plane", f"`{url}` must be https: the key would go out in the clear")
        key = key_file.read_text(encoding="utf-8").strip()
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise SettingsError("key-file", f"`{key_file}` must hold one key or token, and nothing else")
        self._url = url.rstrip("/")
        self._is_here = is_loopback(parts.hostname or "")
        self._key = key

    def ask(self, method: str, path: str, *, body: object = None, **query: str) -> Any:  # noqa: ANN401 - JSON
        """Ask once, and give the answer's JSON; none where it has no body.

        Raises:
            PublishError: the control plane finds problems in files.
            RequestError: it refuses it, and says why.
            SyncError: it does not answer, or cannot.
        """
        return self._send(method, path, params=query, json=body)

    def ask_to_publish(self, path: str, body: object, if_match: str | None = None) -> Any:  # noqa: ANN401 - JSON
        """Ask for a publication, which takes as long as it takes to ask about all customers.

        `if_match`: the entity tag of what it must be, with or without quotes.

        Raises:
            LossError: it would take something from customers.
            OutdatedReviewError: it is something else.
            PublishError, RequestError, SyncError: as `ask`.
        """
        tag = None if if_match is None else if_match.strip('"')
        headers = {} if tag is None else {"if-match": f'"{tag}"'}
        return self._send("POST", path, json=body, headers=headers, timeout=_PATIENCE)

    def fetch(self, path: str) -> tuple[bytes, str]:
        """Get bytes as they are, and the `ETag` that they come with, without its quotes.

        Raises:
            PublishError: the control plane finds problems in files.
            RequestError: it refuses it, and says why.
            SyncError: it does not answer, or cannot.
        """
        answer = self._receive("GET", path)
        return answer.content, answer.headers.get("etag", "").strip('"')

    def exchange(self, path: str, body: bytes) -> bytes:
        """Send JSON as it stands, and give the answer's as it stands, its numbers and all.

        Raises:
            RequestError: the control plane refuses it, and says why.
            SyncError: it does not answer, or cannot.
        """
        return self._receive("POST", path, content=body, headers={"content-type": "application/json"}).content

    def send_lines(self, path: str, lines: Iterable[str]) -> Any:  # noqa: ANN401 - JSON
        """Send lines of JSON as they come, and give the answer's.

        Raises:
            PublishError: the control plane finds problems in them.
            RequestError: it refuses it, and says why.
            SyncError: it does not answer, or cannot.
        """
        content = (line.encode() for line in lines)
        return self._send("POST", path, content=content, headers={"content-type": "application/x-ndjson"})

    def stream(self, method: str, path: str, *, body: object = None) -> Iterator[str]:
        """Ask once, and give the lines of the answer as they come.

        Raises:
            PublishError: the control plane finds problems in files.
            RequestError: it refuses it, and says why.
            SyncError: it does not answer, or breaks off.
        """
        import httpx

        from tiergate.process.request_deadline import enforce_deadlines, request_deadline

        headers = {"authorization": f"Bearer {self._key}"}
        timeout = httpx.Timeout(_TIMEOUT, read=_PATIENCE)
        try:
            with (
                request_deadline(_PATIENCE, _RATE),
                enforce_deadlines(
                    httpx.Client(timeout=timeout, follow_redirects=False, trust_env=not self._is_here)
                ) as client,
                client.stream(method, self._url + path, headers=headers, json=body) as answer,
            ):
                if not answer.is_success:
                    answer.read()
                    raise _error(self._url, answer)
                yield from answer.iter_lines()
        except httpx.HTTPError as error:
            raise SyncError(self._url, f"the control plane does not answer: {error}") from None

    def _send(self, method: str, path: str, **what: Any) -> Any:  # noqa: ANN401
        answer = self._receive(method, path, **what)
        return answer.json() if answer.content else None

    def _receive(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        **what: Any,  # noqa: ANN401 - httpx says
    ) -> httpx.Response:
        import httpx

        from tiergate.process.request_deadline import enforce_deadlines, request_deadline

        sent = {"authorization": f"Bearer {self._key}", **(headers or {})}
        try:
            # What is on this machine is asked directly, whatever proxy the environment names.
            with (
                request_deadline(what.get("timeout", _TIMEOUT), _RATE),
                enforce_deadlines(
                    httpx.Client(timeout=_TIMEOUT, follow_redirects=False, trust_env=not self._is_here)
                ) as client,
            ):
                answer = client.request(method, self._url + path, headers=sent, **what)
        except httpx.HTTPError as error:
            raise SyncError(self._url, f"the control plane does not answer: {error}") from None
        if not answer.is_success:
            raise _error(self._url, answer)
        return answer

    def pages(self, path: str, **query: str) -> Iterator[Any]:
        """All entries of a list.

        Raises:
            RequestError: the control plane refuses it, and says why.
            SyncError: it does not answer, or cannot.
        """
        cursor: dict[str, str] = {}
        while True:
            page = self.ask("GET", path, limit="500", **query, **cursor)
            yield from page["items"]
            if page["next"] is None:
                return
            cursor = {"cursor": page["next"]}


def problems_of(said: Iterable[dict[str, Any]]) -> list[Problem]:
    """Problems in files, or places of the store, as the control plane says them."""
    from tiergate.model import Problem

    return [
        Problem(one["file"], one.get("line") or 0, one.get("column") or 0, one["code"], one["detail"]) for one in said
    ]


def _error(url: str, answer: httpx.Response) -> CallerError | PublishError | SyncError:
    try:
        problem = answer.json()
        title, detail = str(problem["title"]), str(problem["detail"])
        if isinstance(problem.get("impact"), dict):
            return LossError(detail, problem["impact"], str(problem.get("accept_loss", "")))
        if answer.status_code == 412:
            return OutdatedReviewError(detail, str(problem.get("etag", "")))
        placed = [one for one in problem.get("errors", []) if one.get("file")]
        if placed:
            return PublishError(problems_of(placed))
        errors = [
            f"{one.get('pointer') or one.get('file') or ''}: {one['detail']}" for one in problem.get("errors", [])
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return SyncError(url, f"answers with {answer.status_code}, and is no control plane", answer.status_code)
    if answer.status_code >= 500:
        return SyncError(url, f"{title}: {detail}", answer.status_code)
    return RequestError(answer.status_code, title, "; ".join(errors) or detail)
