"""A stand-in for a Kubernetes API server, for tests where no real one is: objects in memory, over real HTTPS.

It keeps what `tiergate.cluster` rests on: names are unique, every change gives a new `resourceVersion`, a `PUT` with
another one is a conflict, a JSON Patch whose `test` fails changes nothing. The same is shown with a real API server in
tests/kubernetes.
"""

from __future__ import annotations

import copy
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from tests.certificates import certify

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "the.pods.token"


class ApiServer:
    """One, with a folder as a pod has it. `objects` by path; `refused`: method and path to a status."""

    def __init__(self, folder: Path, namespace: str = "tiergate") -> None:
        """Start it, on a free port. `folder` gets `token`, `ca.crt` and `namespace`."""
        self.folder = folder
        self.objects: dict[str, dict[str, Any]] = {}
        self.refused: dict[tuple[str, str], int] = {}
        self.requests: list[tuple[str, str]] = []
        self._version = 0
        self._lock = threading.Lock()
        certificate, key = certify(folder)
        certificate.rename(folder / "ca.crt")
        (folder / "token").write_text(TOKEN + "\n")
        (folder / "namespace").write_text(namespace)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(folder / "ca.crt", key)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def environ(self) -> dict[str, str]:
        """The variables that every pod has."""
        return {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self._server.server_port)}

    def put(self, path: str, body: dict[str, Any]) -> None:
        """Put an object there, as somebody else does."""
        with self._lock:
            self._store(path, copy.deepcopy(body))

    def answer(self, method: str, path: str, body: Any, token: str) -> tuple[int, dict[str, Any]]:  # noqa: ANN401 - JSON
        """Do what a request asks for."""
        with self._lock:
            self.requests.append((method, path))
            if token != f"Bearer {TOKEN}":
                return 401, _status("Unauthorized", "Unauthorized")
            if (method, path) in self.refused:
                return self.refused[method, path], _status("Forbidden", "you may not do this")
            if method == "POST":
                name = f"{path}/{body['metadata']['name']}"
                if name in self.objects:
                    return 409, _status("AlreadyExists", "it is there already")
                return 201, self._store(name, body)
            if path not in self.objects:
                return 404, _status("NotFound", "there is none")
            if method == "GET":
                return 200, self.objects[path]
            if method == "PUT":
                if body["metadata"].get("resourceVersion") != self.objects[path]["metadata"]["resourceVersion"]:
                    return 409, _status("Conflict", "it has changed")
                return 200, self._store(path, body)
            changed = _patched(self.objects[path], body)
            return (422, _status("Invalid", "a test failed")) if changed is None else (200, self._store(path, changed))

    def _store(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self._version += 1
        body.setdefault("metadata", {})["resourceVersion"] = str(self._version)
        self.objects[path] = body
        return body

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer = self.answer

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self) -> None:
                length = int(self.headers.get("content-length", "0"))
                body = json.loads(self.rfile.read(length)) if length else None
                status, said = answer(self.command, self.path, body, self.headers.get("authorization", ""))
                content = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.send_header("connection", "close")
                self.close_connection = True
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do  # noqa: N815 - names of http.server

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


def _status(reason: str, message: str) -> dict[str, Any]:
    return {"kind": "Status", "status": "Failure", "reason": reason, "message": message}


def _patched(before: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The object after a JSON Patch of `test` and `add`; none where a test fails."""
    after = copy.deepcopy(before)
    for one in operations:
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in one["path"][1:].split("/")]
        place: Any = after
        for part in parents:
            place = place[int(part)] if isinstance(place, list) else place[part]
        if one["op"] == "test":
            if place[last] != one["value"]:
                return None
        else:
            assert one["op"] == "add"
            place[last] = one["value"]
    return after
