"""Responses are read however they arrive, and what is ambiguous is an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiergate.client.http_response import Response, ResponseError, ResponseReader

OK = b"HTTP/1.1 200 OK\r\n"
WHOLE = {
    "a length": (OK + b"Content-Length: 2\r\n\r\n{}", b"{}", True),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n1;a=b\r\n{\r\n01\r\n}\r\n0\r\n\r\n", b"{}", True),
    "chunks with a trailer": (OK + b"transfer-encoding: Chunked\r\n\r\n2\r\n{}\r\n0\r\nx: y\r\n\r\n", b"{}", True),
    "an interim response": (
        b"HTTP/1.1 103 Early\r\nlink: a\r\n\r\n" + OK + b"content-length: 2\r\n\r\n{}",
        b"{}",
        True,
    ),
    "a connection that ends": (OK + b"connection: x, Close\r\ncontent-length: 2\r\n\r\n{}", b"{}", False),
    "an older version": (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}", b"{}", False),
    "an older version that stays": (b"HTTP/1.0 200\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", b"", True),
    "without a body": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
}
WRONG = {
    "no HTTP": b"SSH-2.0-OpenSSH\r\n",
    "another version": b"HTTP/2.0 200 OK\r\n\r\n",
    "a field without a name": OK + b": x\r\n\r\n",
    "a folded field": OK + b"a: b\r\n c\r\n\r\n",
    "a space before the colon": OK + b"content-length : 2\r\n\r\n{}",
    "two lengths": OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    "a length and chunks": OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
    "a length that is none": OK + b"content-length: +2\r\n\r\n{}",
    "an enormous length": OK + b"content-length: 99999999999\r\n\r\n",
    "another coding": OK + b"transfer-encoding: gzip, chunked\r\n\r\n",
    "a chunk without a size": OK + b"transfer-encoding: chunked\r\n\r\nx\r\n",
    "a chunk that is longer": OK + b"transfer-encoding: chunked\r\n\r\n1\r\n{}\r\n",
    "another protocol": b"HTTP/1.1 101 Switching\r\n\r\n",
    "a head without an end": b"HTTP/1.1 200 OK\r\na: " + b"b" * 70_000,
}


@pytest.mark.parametrize("name", WHOLE)
@given(data=st.data())
def test_a_response_is_the_same_in_any_pieces(name: str, data: st.DataObject) -> None:
    """Wherever it is cut."""
    text, body, reusable = WHOLE[name]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text) - 1), max_size=4)))
    reader = ResponseReader()
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        assert reader.response is None
        reader.feed(text[start:end])
    assert isinstance(reader.response, Response)
    assert (reader.response.body, reader.reusable) == (body, reusable)


@pytest.mark.parametrize("name", WRONG)
def test_what_is_ambiguous_is_an_error(name: str) -> None:
    """Nothing is guessed."""
    reader = ResponseReader()
    with pytest.raises(ResponseError):
        reader.feed(WRONG[name])


def test_bytes_after_a_response_are_nobodys() -> None:
    """The connection is not used again."""
    reader = ResponseReader()
    reader.feed(WHOLE["a length"][0] + b"HTTP/1.1 200 OK")
    assert reader.response is not None
    assert not reader.reusable


def test_a_body_may_end_with_the_connection() -> None:
    """If no length is said; else it is cut off."""
    reader = ResponseReader()
    reader.feed(OK + b"\r\n{")
    reader.feed(b"}")
    reader.end()
    assert reader.response == Response(200, {}, b"{}")
    assert not reader.reusable
    for text in (OK, WHOLE["a length"][0][:-1], WHOLE["chunks"][0][:-1]):
        cut = ResponseReader()
        cut.feed(text)
        with pytest.raises(ResponseError, match="closed"):
            cut.end()
