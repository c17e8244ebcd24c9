"""Read one HTTP/1.1 response from bytes as they arrive (RFC 9112); without I/O, so that threads and asyncio share it.

Strict: what is ambiguous is an error, because a response that is read wrongly is the answer to another request.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_MAX_HEAD: Final = 64 * 1024
_MAX_BODY: Final = 64 * 2**20
_FIRST_FINAL: Final = 200
_WITHOUT_BODY: Final = frozenset({204, 304})
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [^\r\n\0]*)?")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*")
_LENGTH: Final = re.compile(rb"[0-9]{1,15}")
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,12})[ \t]*(?:;[^\r\n\0]*)?")
_END: Final = b"\r\n\r\n"


class Response(NamedTuple):
    """A complete response; the names of the headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class ResponseError(Exception):
    """The bytes are not HTTP, or the response is too large."""


class ResponseReader:
    """Reads the response to one request.

    `response`: once it is complete. `reusable`: whether the connection can take another request after it.
    """

    def __init__(self) -> None:
        self.response: Response | None = None
        self.reusable = False
        self.begun = False
        self._bytes = bytearray()
        self._head: tuple[int, dict[str, str], bool] | None = None
        self._length: int | None = None  # of the body; `None`: chunked, or up to the end of the connection
        self._chunked = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            ResponseError: they are not HTTP, or the response is too large.
        """
        self.begun = self.begun or bool(data)
        self._bytes += data
        while self._head is None:
            if not self._read_head():
                return
        self._read_body()

    def end(self) -> None:
        """Take the end of the connection: it ends a body that says no length of its own.

        Raises:
            ResponseError: the response is not complete.
        """
        if self._head is None or self._chunked or self._length is not None:
            raise ResponseError("the connection was closed")
        self._finish(bytes(self._bytes), b"", reusable=False)

    def _read_head(self) -> bool:
        end = self._bytes.find(_END)
        if end < 0:
            if len(self._bytes) > _MAX_HEAD or not b"HTTP/1.".startswith(self._bytes[:7]):
                raise ResponseError("the response is not HTTP")
            return False
        lines = bytes(self._bytes[:end]).split(b"\r\n")
        del self._bytes[: end + len(_END)]
        line = _STATUS_LINE.fullmatch(lines[0])
        if line is None or end > _MAX_HEAD:
            raise ResponseError("the response is not HTTP")
        status = int(line[2])
        if status < _FIRST_FINAL:  # an interim response: the final one follows
            if status == 101:
                raise ResponseError("the response changes the protocol")
            return True
        headers: dict[str, str] = {}
        for text in lines[1:]:
            field = _FIELD.fullmatch(text)
            if field is None:
                raise ResponseError("the response is not HTTP")
            name, value = field[1].decode("ascii").lower(), field[2].decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        self._head = status, headers, line[1] == b"1"
        self._measure(status, headers)
        return True

    def _measure(self, status: int, headers: dict[str, str]) -> None:
        """Find how the length of the body is said (RFC 9112, 6.3)."""
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        if coding is not None:
            if coding.lower() != "chunked" or length is not None:
                raise ResponseError("the response says its length twice, or not at all")
            self._chunked = True
        elif status in _WITHOUT_BODY:
            self._length = 0
        elif length is not None:
            if not _LENGTH.fullmatch(length.encode("latin-1")):
                raise ResponseError("the response has no length that can be read")
            self._length = int(length)
            if self._length > _MAX_BODY:
                raise ResponseError("the response is too large")

    def _read_body(self) -> None:
        if self._chunked:
            self._read_chunks()
        elif self._length is not None and len(self._bytes) >= self._length:
            self._finish(bytes(self._bytes[: self._length]), bytes(self._bytes[self._length :]), reusable=True)
        elif len(self._bytes) > _MAX_BODY:
            raise ResponseError("the response is too large")

    def _read_chunks(self) -> None:
        # From the beginning again at each piece: a sidecar sends none, and a proxy few.
        parts: list[bytes] = []
        at = total = 0
        while (end := self._bytes.find(b"\r\n", at)) >= 0:
            size = _SIZE.fullmatch(bytes(self._bytes[at:end]))
            if size is None:
                raise ResponseError("the response is not HTTP")
            length = int(size[1], 16)
            total += length
            if total > _MAX_BODY:
                raise ResponseError("the response is too large")
            begin = end + 2
            if length == 0:
                self._read_trailer(b"".join(parts), begin)
                return
            after = begin + length
            if len(self._bytes) < after + 2:
                return
            if self._bytes[after : after + 2] != b"\r\n":
                raise ResponseError("the response is not HTTP")
            parts.append(bytes(self._bytes[begin:after]))
            at = after + 2
        if len(self._bytes) - at > _MAX_HEAD:
            raise ResponseError("the response is not HTTP")

    def _read_trailer(self, body: bytes, at: int) -> None:
        if self._bytes[at : at + 2] == b"\r\n":
            self._finish(body, bytes(self._bytes[at + 2 :]), reusable=True)
            return
        end = self._bytes.find(_END, at)
        if end >= 0:
            self._finish(body, bytes(self._bytes[end + len(_END) :]), reusable=True)
        elif len(self._bytes) - at > _MAX_HEAD:
            raise ResponseError("the response is not HTTP")

    def _finish(self, body: bytes, rest: bytes, *, reusable: bool) -> None:
        status, headers, is_newer = self._head or (0, {}, False)
        options = {option.strip().lower() for option in headers.get("connection", "").split(",")}
        stays = "close" not in options and (is_newer or "keep-alive" in options)
        self.response = Response(status, headers, body)
        self.reusable = reusable and stays and not rest  # bytes after the response are nobody's
