"""What an endpoint is asked and what it answers, without the socket: bodies, entity tags, cursors, idempotency keys.

Leaves to others: who may ask (`access`), what the errors look like (`problems`), and what the bodies mean (`catalog`).

A header, a parameter or a reason that is invalid is a `RequestError` 400, an invalid body a `BodyError`, and an
idempotency key that came with another request before a `RequestError` 422.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import unquote

import msgspec

from tiergate.admin.actor import Actor, enforce
from tiergate.admin.precondition import Precondition
from tiergate.errors import BodyError, BodyProblem, RequestError
from tiergate.http import entity_tags
from tiergate.store.idempotency import IdempotencyKey, StoredResponse, read_stored_response, store_response
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tiergate.permissions import Action, Caller, Permission, Resource
    from tiergate.store import ReadUnit, Store, WriteUnit

MAX_LIMIT: Final = 500
"""Most entries of one page of a list."""

MAX_TEXT: Final = 200
"""Most characters of a text that is searched for."""

_DEFAULT_LIMIT: Final = 50
_MAX_REASON: Final = 1000
_ETAG: Final = re.compile(r'"([0-9]{1,18})"')
_KEY: Final = re.compile(r"[!-~]{1,255}")
_JSON_PATH: Final = re.compile(r" - at `([^`]*)`\Z")
_STEP: Final = re.compile(r"\[(\d+)\]|\.([^.\[]+)")


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Response:
    """A status, a body (bytes, or an iterator of bytes that is sent as it comes) and headers in lower case."""

    status: int = 200
    body: bytes | Iterator[bytes] | AsyncIterator[bytes] = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def json(value: object, status: int = 200, *, etag: int | None = None, location: str | None = None) -> Response:
        """Answer with JSON. `etag` counts the changes of what is answered; `location`: where what was made is."""
        headers = {"content-type": "application/json"}
        if etag is not None:
            headers["etag"] = etag_text(etag)
        if location is not None:
            headers["location"] = location
        return Response(status, encode(value), headers)

    @staticmethod
    def page(items: Sequence[object], cursor: str | None) -> Response:
        """Answer with one page of a list; `cursor`: what its last entry is ordered by, if there are more."""
        return Response.json({"items": items, "next": None if cursor is None else _wrapped(cursor)})

    @staticmethod
    def page_of(request: AdminRequest, entries: Sequence[T], key: Callable[[T], str]) -> Response:
        """Answer with one page of a list that is read as a whole; `key` tells its entries apart.

        The cursor has the key of the last entry and its place, so that a page begins where the last one ended even if
        that entry is gone.
        """
        begin, cursor = 0, request.cursor
        if cursor is not None:
            place, _, last = cursor.partition(":")
            if not re.fullmatch("[0-9]{1,9}", place):
                raise RequestError(400, "invalid request", "`cursor` is not one that a list gave out")
            begin = next((number + 1 for number, it in enumerate(entries) if key(it) == last), max(int(place) - 1, 0))
        page = entries[begin : begin + request.limit]
        following = f"{begin + len(page)}:{key(page[-1])}" if begin + len(page) < len(entries) and page else None
        return Response.page(page, following)

    @staticmethod
    def empty(*, etag: int | None = None) -> Response:
        """Answer that it was done, with nothing to show."""
        return Response(204, headers={} if etag is None else {"etag": etag_text(etag)})

    def without(self, member: str) -> Response:
        """Return this answer without a member of its JSON object that is shown only once."""
        if not isinstance(self.body, bytes):
            return self
        data = msgspec.json.decode(self.body, type=dict[str, msgspec.Raw])
        data.pop(member)
        return replace(self, body=msgspec.json.encode(data))

    @staticmethod
    def stream(parts: Iterator[bytes] | AsyncIterator[bytes], media_type: str) -> Response:
        """Answer with what comes as it comes."""
        return Response(200, parts, {"content-type": media_type})


@dataclass(eq=False, kw_only=True)
class AdminRequest:
    """A request of a caller who may do what the endpoint's action says.

    `path` is as it came, percent-encoded; `params` are the parts of it, decoded; `query` the parameters, each once.
    `unit` is the open transaction that the request is handled in, where the endpoint says so (`Endpoint.is_brief`).
    `reason` is why, in the caller's words, for the audit log: the header `Tiergate-Reason`, percent-encoded where it is
    not ASCII. `spool` is the file that holds the body, where the endpoint says so.
    """

    method: str
    path: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    caller: Caller
    request_id: str
    store: Store
    allows: Callable[[Action, Resource], Permission]
    spool: Path | None = None
    unit: WriteUnit | None = None

    # ── what was asked ───────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def reason(self) -> str:
        """Why it is asked, or nothing."""
        text = unquote(self.headers.get("tiergate-reason", "")).strip()
        if len(text) > _MAX_REASON or not text.isprintable():
            detail = f"`Tiergate-Reason` must be printable, and of {_MAX_REASON} characters at most"
            raise RequestError(400, "invalid request", detail)
        return text

    @property
    def limit(self) -> int:
        """How many entries of a list are wanted: 1 to `MAX_LIMIT`."""
        return self.number("limit", _DEFAULT_LIMIT, least=1, most=MAX_LIMIT)

    @property
    def cursor(self) -> str | None:
        """What the last entry of the page before is ordered by; none for the first page."""
        text = self.query.get("cursor")
        if text is None:
            return None
        try:
            cursor = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
        except (binascii.Error, ValueError):
            cursor = "\x00"
        if "\x00" in cursor:
            raise RequestError(400, "invalid request", "`cursor` is not one that a list gave out")
        return cursor

    @property
    def number_cursor(self) -> int | None:
        """The cursor of a list that is ordered by a number."""
        text = self.cursor
        if text is not None and not re.fullmatch(r"[0-9]{1,18}", text):
            raise RequestError(400, "invalid request", "`cursor` is not one that a list gave out")
        return None if text is None else int(text)

    def number(self, name: str, default: int, *, least: int, most: int) -> int:
        """A whole number among the query's parameters."""
        text = self.query.get(name)
        if text is None:
            return default
        if not re.fullmatch(r"[0-9]{1,18}", text) or not least <= int(text) <= most:
            raise RequestError(400, "invalid request", f"`{name}` must be a whole number from {least} to {most}")
        return int(text)

    def decode(self, form: type[T]) -> T:
        """Read a small JSON body that is no entry of a catalog or subjects file into a msgspec structure."""
        try:
            return msgspec.json.decode(self.body, type=form)
        except msgspec.ValidationError as error:
            raise BodyError([_body_problem(str(error))]) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BodyError([BodyProblem("", "bad-json", f"is no JSON: {error}")]) from None

    # ── what is done ─────────────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def actor(self) -> Actor:
        """The caller, what it may do and why it asks: the first argument of every use case."""
        return Actor(self.caller, self.allows, self.reason, self.request_id)

    @cached_property
    def precondition(self) -> Precondition:
        """The version that a change expects, by `If-Match` and, of `PUT`, `If-None-Match: *`."""
        absent = self.method == "PUT" and self.headers.get("if-none-match", "").strip() == "*"
        given = self.headers.get("if-match")
        if given is None or given.strip() == "*":
            return Precondition(None, must_exist=given is not None, must_not_exist=absent)
        tags = [_ETAG.fullmatch(part.strip()) for part in given.split(",")]
        known = tuple(int(match[1]) for match in tags if match is not None)
        if len(known) < len(tags):
            raise RequestError(400, "invalid request", "`If-Match` must be an entity tag that was given out, or `*`")
        return Precondition(known, must_exist=True, must_not_exist=absent)

    def require(self, action: Action, resource: Resource) -> None:
        """Require a permission besides the endpoint's own; raises `ForbiddenError`."""
        enforce(self.caller, action, resource, self.allows(action, resource))

    def within(self, unit: WriteUnit) -> AdminRequest:
        """Return a copy of this request that is handled in an open transaction."""
        request = object.__new__(AdminRequest)  # `copy` takes ten times as long
        request.__dict__.update(self.__dict__, unit=unit)
        return request

    def read(self, work: Callable[[ReadUnit], T]) -> T:
        """Run `work` in one transaction that reads, or in the open one."""
        return self.store.read(work) if self.unit is None else work(self.unit)

    def change(
        self,
        work: Callable[[WriteUnit], Response],
        *,
        kept: Callable[[Response], Response] | None = None,
        brief: bool = False,
    ) -> Response:
        """Run `work` in one transaction, and keep its answer under the request's `Idempotency-Key`, if it has one.

        `work` may be run several times, and must have no effect but through its unit. `kept`: what is kept of an
        answer that must not be given twice. `brief`: it takes milliseconds, and publishes nothing.
        """
        key = self._idempotency_key()
        if key is None:
            return self.write(work, brief=brief)

        def once(unit: WriteUnit) -> Response:
            before = read_stored_response(unit, key)
            if before is not None:
                return _replayed(before)
            answer = work(unit)
            keeping = answer if kept is None else kept(answer)
            if isinstance(keeping.body, bytes):
                store_response(unit, key, StoredResponse(keeping.status, dict(keeping.headers), keeping.body))
            return answer

        return self.write(once, brief=brief)

    def replayed(self) -> Response | None:
        """The answer that this very request got before, by its `Idempotency-Key`; none where there is none."""
        key = self._idempotency_key()
        kept = None if key is None else self.read(lambda unit: read_stored_response(unit, key))
        return None if kept is None else _replayed(kept)

    def write(self, work: Callable[[WriteUnit], T], *, brief: bool = False) -> T:
        """Run `work` in one transaction, whatever it returns, without regard to idempotency keys."""
        if self.unit is not None:
            if not brief:
                raise RuntimeError("a request that is handled in an open transaction makes brief changes alone")
            return work(self.unit)
        return self.actor.change(self.store, work, brief=brief)

    @property
    def entity_tags(self) -> tuple[str, ...] | None:
        """The entity tags of `If-Match`, without their quotes, whatever they are; none without the header.

        A weak tag is none that a state has: it stays as it is.
        """
        given = self.headers.get("if-match")
        if given is None:
            return None
        return tuple(_unquoted(part.strip()) for part in given.split(","))

    def is_fresh(self, etag: int) -> bool:
        """Say whether the caller has the present state already (`If-None-Match`), so that 304 is the answer."""
        return entity_tags.matches(self.headers.get("if-none-match", "").encode(), etag_text(etag).encode())

    def _idempotency_key(self) -> IdempotencyKey | None:
        key = self.headers.get("idempotency-key")
        if key is None:
            return None
        if not _KEY.fullmatch(key):
            raise RequestError(400, "invalid request", "`Idempotency-Key` must be 1 to 255 printable characters")
        # The length of each part stands before it: no two requests are written alike.
        parts = [self.method.encode(), self.path.encode(), repr(sorted(self.query.items())).encode(), self.body]
        digest = hashlib.sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts)).hexdigest()
        return IdempotencyKey(self.caller.id, key, digest)


def etag_text(etag: int) -> str:
    """Write an entity tag as a header value."""
    return f'"{etag}"'


def _replayed(kept: StoredResponse) -> Response:
    return Response(kept.status, kept.body, {**kept.headers, "idempotency-replayed": "true"})


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _wrapped(cursor: str) -> str:
    return base64.urlsafe_b64encode(cursor.encode()).decode().rstrip("=")


def _body_problem(message: str) -> BodyProblem:
    """One of msgspec's messages, such as "Expected `int`, got `str` - at `$.a[0]`", as a problem."""
    match = _JSON_PATH.search(message)
    detail = message[: match.start()] if match else message
    steps = _STEP.findall(match[1]) if match else []
    pointer = "".join("/" + (index or name.replace("~", "~0").replace("/", "~1")) for index, name in steps)
    return BodyProblem(pointer, "wrong-value", detail[:1].lower() + detail[1:])
