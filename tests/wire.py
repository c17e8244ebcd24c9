"""Raw HTTP/1.1 for tests: requests as bytes, answers read from a socket one at a time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping


@dataclass(frozen=True)
class Answer:
    """An answer: status, headers by their names in lower case, and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:  # noqa: ANN401 - whatever it says
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def steady(self) -> tuple[int, dict[str, str], bytes]:
        """What two answers to the same request have in common: all but the decision id and the date."""
        own = {"tiergate-decision-id", "date"}
        return self.status, {name: value for name, value in self.headers.items() if name not in own}, self.body


def request(method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """The bytes of a request."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


class Connection:
    """Reads answers from a socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._held = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Send all of it in one go."""
        self.sock.sendall(data)

    def ask(self, data: bytes) -> Answer:
        """Send a request and read its answer."""
        self.send(data)
        answer = self.read()
        assert answer is not None, "the connection was closed without an answer"
        return answer

    def read(self, *, head: bool = False) -> Answer | None:
        """Read one answer; none where the connection was closed before it began. `head`: it has no body."""
        while b"\r\n\r\n" not in self._held:
            if not self._more():
                assert not self._held, f"an answer that ends in its head: {self._held!r}"
                return None
        top, _, self._held = self._held.partition(b"\r\n\r\n")
        first, *lines = top.decode("latin-1").split("\r\n")
        status = int(first.split(" ")[1])
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            assert name.lower() not in headers, f"the header {name} is there twice"
            headers[name.lower()] = value.strip()
        length = 0 if head or status in {100, 204, 304} else int(headers["content-length"])
        while len(self._held) < length:
            assert self._more(), "an answer that ends in its body"
        body, self._held = self._held[:length], self._held[length:]
        return Answer(status, headers, body)

    def ended(self) -> bool:
        """Whether the other side closes, with nothing left to read. Waits for either."""
        return not self._held and not self._more()

    def _more(self) -> bool:
        try:
            data = self.sock.recv(65_536)
        except ConnectionResetError:
            return False
        self._held += data
        return bool(data)
