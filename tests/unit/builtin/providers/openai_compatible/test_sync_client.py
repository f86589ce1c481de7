"""Heads and bodies of responses as servers may write them, on a real pair of sockets."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from routekit.builtin.providers.openai_compatible.http1 import Response, _head


class _Pool:
    """Where connections come back to."""

    def __init__(self) -> None:
        self.returned: list[Any] = []

    def _put_conn(self, connection: Any) -> None:
        self.returned.append(connection)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(5.0)
    with ours, theirs:
        yield ours, theirs


def answered(pair: tuple[socket.socket, socket.socket], data: bytes, *, ends: bool = False) -> tuple[Response, Any]:
    ours, theirs = pair
    theirs.sendall(data)
    if ends:
        theirs.shutdown(socket.SHUT_WR)
    pool = _Pool()
    response = Response(SimpleNamespace(sock=ours, close=ours.close), pool)
    try:
        response.begin()
    except BaseException:
        response.close()
        raise
    return response, pool


def test_headers_are_lower_case_joined_and_unfolded(pair: Any) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a:2\r\nX-Long: one\r\n  two\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n"
    )
    response, _ = answered(pair, head + b"ok")
    assert response.headers == {"x-a": "1, 2", "x-long": "one two", "content-length": "2"}
    assert response.read(100) == b"ok"
    response.release_conn()


@pytest.mark.parametrize("codings", [b"chunked", b"identity, chunked", b"identity\r\nTransfer-Encoding: Chunked"])
def test_the_last_transfer_coding_frames_the_body(pair: Any, codings: bytes) -> None:
    response, _ = answered(pair, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + codings + b"\r\n\r\n2\r\nok\r\n0\r\n\r\n")
    assert response.read(100) == b"ok"
    assert response.read(100) == b""
    response.release_conn()


@pytest.mark.parametrize("first", [b"100 Continue", b"103 Early Hints"])
def test_interim_responses_come_before_the_response(pair: Any, first: bytes) -> None:
    response, _ = answered(
        pair, b"HTTP/1.1 " + first + b"\r\nX-A: 1\r\n\r\nHTTP/1.1 429 Slow Down\r\nContent-Length: 0\r\n\r\n"
    )
    assert (response.status, dict(response.headers)) == (429, {"content-length": "0"})
    response.release_conn()


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", True),
        (b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", True),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", False),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", False),
        (b"HTTP/1.1 200 OK\r\n\r\nok", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok", False),
    ],
)
@pytest.mark.parametrize("way", ["read", "read1"])
def test_a_connection_comes_back_open_only_when_the_server_keeps_it(
    pair: Any, head: bytes, kept: bool, way: str
) -> None:
    response, pool = answered(pair, head, ends=not kept)
    body = b""
    while data := getattr(response, way)(65_536):
        body += data
    response.release_conn()
    response.release_conn()  # a second time gives nothing back twice
    assert (body, len(pool.returned), pair[0].fileno() != -1) == (b"ok", 1, kept)


def test_a_connection_with_an_unread_body_is_closed(pair: Any) -> None:
    response, pool = answered(pair, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok")
    response.release_conn()
    assert len(pool.returned) == 1
    assert pair[0].fileno() == -1


@pytest.mark.parametrize("way", ["read", "read1"])
@pytest.mark.parametrize("framing", [b"Content-Length: 5\r\n\r\nok", b"Transfer-Encoding: chunked\r\n\r\n5\r\nok"])
def test_a_body_that_ends_too_early_fails(pair: Any, framing: bytes, way: str) -> None:
    response, _ = answered(pair, b"HTTP/1.1 200 OK\r\n" + framing, ends=True)
    with pytest.raises(http.client.IncompleteRead):
        b"".join(iter(lambda: getattr(response, way)(65_536), b""))
    response.release_conn()
    assert pair[0].fileno() == -1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"SSH-2.0-server\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-A: 1\r\n" * 200 + b"\r\n",
    ],
)
def test_what_is_no_head_fails(pair: Any, data: bytes) -> None:
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        answered(pair, data, ends=True)


@pytest.mark.parametrize(
    ("url", "line", "host"),
    [
        ("http://a.example/v1/chat", b"POST /v1/chat HTTP/1.1", b"Host: a.example"),
        ("https://a.example/v1?x=%41", b"POST /v1?x=%41 HTTP/1.1", b"Host: a.example"),
        ("https://a.example:8443/a b%20c", b"POST /a%20b%20c HTTP/1.1", b"Host: a.example:8443"),
        ("http://[::1]:80/", b"POST / HTTP/1.1", b"Host: [::1]"),
    ],
)
def test_the_head_of_a_request(url: str, line: bytes, host: bytes) -> None:
    lines = (_head(url, {"Accept-Encoding": "identity", "X-Share": "5%d"}) % 42).split(b"\r\n")
    assert lines == [line, host, b"Accept-Encoding: identity", b"X-Share: 5%d", b"Content-Length: 42", b"", b""]


def test_a_header_cannot_smuggle_another() -> None:
    with pytest.raises(ValueError, match="Invalid header value"):
        _head("http://a.example/", {"X-A": "1\r\nX-B: 2"})
