"""The endpoints of the public page. What they answer is made once for all readers, at most every few seconds."""

from __future__ import annotations

import hashlib
import threading
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.admin.public_status import public_status
from tiergate.control.api.request import Response
from tiergate.control.api.router import Endpoint, Open
from tiergate.control.status_page.data import render_atom, render_json
from tiergate.control.status_page.html import POLICY, render_html
from tiergate.errors import StoreError
from tiergate.http.entity_tags import matches

if TYPE_CHECKING:
    from tiergate.admin.public_status import PublicStatus
    from tiergate.control.api.request import AdminRequest
    from tiergate.store import Store

_FRESH_MS: Final = 5_000
_NOTHING: Final = "default-src 'none'; frame-ancestors 'none'"


class _Document(NamedTuple):
    body: bytes
    etag: str
    headers: dict[str, str]


class _Edition:
    """What is shown at an instant; each document of it is made when it is first asked for."""

    def __init__(self, status: PublicStatus, title: str, store: str) -> None:
        self.status, self._title, self._store = status, title, store

    @cached_property
    def html(self) -> _Document:
        return _document(render_html(self.status, self._title), "text/html; charset=utf-8", POLICY)

    @cached_property
    def json(self) -> _Document:
        return _document(render_json(self.status, self._title), "application/json", _NOTHING)

    @cached_property
    def atom(self) -> _Document:
        body = render_atom(self.status, self._title, self._store)
        return _document(body, "application/atom+xml; charset=utf-8", _NOTHING)


class StatusPage:
    """The public page of one store. `tag`: only features that have it; `None`: all active ones."""

    def __init__(self, store: Store, *, title: str, tag: str | None = None) -> None:
        self._store, self._title, self._tag = store, title, tag
        self._edition: _Edition | None = None
        self._lock = threading.Lock()

    def endpoints(self) -> list[Endpoint]:
        """Return the routes."""
        return [
            Endpoint("GET", "/status", Open.ANYBODY, self.show_page),
            Endpoint("GET", "/status.json", Open.ANYBODY, self.show_json),
            Endpoint("GET", "/status.atom", Open.ANYBODY, self.show_atom),
        ]

    def show_page(self, request: AdminRequest) -> Response:
        """Return the public page of the status, as HTML."""
        return _answer(request, self._current().html)

    def show_json(self, request: AdminRequest) -> Response:
        """Return the public page of the status, as JSON."""
        return _answer(request, self._current().json)

    def show_atom(self, request: AdminRequest) -> Response:
        """Return an Atom feed of what happened to features, and what is planned."""
        return _answer(request, self._current().atom)

    def _current(self) -> _Edition:
        """Return what is shown, made anew if it is old. While the database fails, what was shown last is shown."""
        with self._lock:
            edition, now = self._edition, self._store.clock()
            if edition is not None and 0 <= now - edition.status.at < _FRESH_MS:
                return edition
            try:
                status = self._store.read(lambda unit: public_status(unit, self._tag))
            except StoreError:
                if edition is None:
                    raise
                return edition
            self._edition = _Edition(status, self._title, self._store.id)
            return self._edition


def _document(body: bytes, media_type: str, policy: str) -> _Document:
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {
        "content-type": media_type,
        "etag": etag,
        "cache-control": "public, max-age=10",
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }
    return _Document(body, etag, headers)


def _answer(request: AdminRequest, document: _Document) -> Response:
    if matches(request.headers.get("if-none-match", "").encode(), document.etag.encode()):
        return Response(304, headers={key: it for key, it in document.headers.items() if key != "content-type"})
    return Response(200, document.body, document.headers)
