"""HTTP/1.1 as far as an endpoint needs it: a response read from one connection, within one point in time."""

from __future__ import annotations

import http.client
import io
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import parse_url

_READ_BYTES = 65_536


_LINE_BYTES = 65_536


_HEADER_LINES = 100


class BoundedSocket:
    """A socket whose timeout is a deadline: `settimeout(t)` bounds all that follows, not each read, to t seconds."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._by: float | None = None

    def settimeout(self, timeout_s: float | None) -> None:
        self._by = None if timeout_s is None else monotonic() + timeout_s
        self._sock.settimeout(timeout_s)

    def arm(self) -> None:
        """Gives the next operation what is left of the time."""
        if self._by is not None:
            left = self._by - monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self._sock.settimeout(left)

    def sendall(self, data: Any) -> None:
        self.arm()
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_BoundedReader(self, self._sock.makefile(mode, buffering=0)), _READ_BYTES)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class _BoundedReader(io.RawIOBase):
    """The reading side. Keeps the socket's own reader, which counts as a user of the socket."""

    def __init__(self, sock: BoundedSocket, raw: Any) -> None:
        self._sock = sock
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.arm()
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Connection(HTTPConnection):
    bounded: BoundedSocket | None = None

    def connect(self) -> None:
        super().connect()
        self.bounded = BoundedSocket(self.sock)
        self.sock = self.bounded  # a socket in all that http.client uses


class _TLSConnection(HTTPSConnection):
    bounded: BoundedSocket | None = None

    def connect(self) -> None:
        super().connect()
        self.bounded = BoundedSocket(self.sock)
        self.sock = self.bounded


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class Response(http.client.HTTPResponse):
    """A response on a connection of urllib3's pool: http.client's body, with `headers` as a dict, names in lower case.

    http.client reads headers with the parser for e-mail, at 20 microseconds a response.
    Beyond that, `release_conn` gives the connection back, and a body that ends before its announced length fails.
    """

    def __init__(self, connection: Any, pool: Any) -> None:
        super().__init__(connection.sock, method="POST")
        self.connection = connection
        self._pool = pool
        self._complete = False

    def begin(self) -> None:
        """Reads status line and headers.

        Raises:
            http.client.HTTPException: this is no HTTP/1, or a head without end.
        """
        status = 100
        while status < 200:  # "Continue" and "Early Hints" come before the response proper
            version, status = self._read_status_line()
            headers = self._read_headers()
        self.code = self.status = status
        self.version = version
        self.headers = self.msg = headers  # type: ignore[assignment]  # a dict is enough for http.client too
        codings = headers.get("transfer-encoding", "").lower().split(",")
        self.chunked = codings[-1].strip() == "chunked"  # the last one frames the body (RFC 9112, section 6.3)
        self.chunk_left = None
        length = headers.get("content-length", "")
        self.length = int(length) if length.isdecimal() and not self.chunked else None
        if status in (204, 304):
            self.length = 0
        kept = headers.get("connection", "").lower()
        closes = "close" in kept if version == 11 else "keep-alive" not in kept
        self.will_close = closes or (self.length is None and not self.chunked)

    def _read_status_line(self) -> tuple[int, int]:
        line = self.fp.readline(_LINE_BYTES)
        if not line:
            raise http.client.RemoteDisconnected("Remote end closed connection without response")
        version, _, rest = line.partition(b" ")
        digits = rest.strip()[:3]
        if not version.startswith(b"HTTP/1.") or len(digits) != 3 or not digits.isdigit():
            raise http.client.BadStatusLine(line[:100].decode("latin-1"))
        return 10 if version == b"HTTP/1.0" else 11, int(digits)

    def _read_headers(self) -> dict[str, str]:
        readline, headers, name = self.fp.readline, dict[str, str](), ""
        for _ in range(_HEADER_LINES + 1):
            line = readline(_LINE_BYTES).decode("latin-1")
            if line in ("\r\n", "\n"):
                return headers
            if not line.endswith("\n"):
                raise http.client.HTTPException("the head of the response is cut off, or a line of it too long")
            if line[0] in " \t":  # the old way to go on with a value
                headers[name] = f"{headers.get(name, '')} {line.strip()}"
                continue
            name, _, value = line.partition(":")
            name, value = name.strip().lower(), value.strip()
            if name not in headers:
                headers[name] = value
            elif name != "content-length" or headers[name] != value:
                headers[name] += f", {value}"
        raise http.client.HTTPException(f"got more than {_HEADER_LINES} headers")

    def read(self, amt: int | None = None) -> bytes:
        return self._checked(super().read(amt))

    def read1(self, n: int = -1) -> bytes:
        return self._checked(super().read1(n))

    def _checked(self, data: bytes) -> bytes:
        """`data`; where it is empty, the body is over, and must be whole."""
        if not data:
            if self.length:
                raise http.client.IncompleteRead(b"", self.length)
            self._complete = True
        return data

    def release_conn(self) -> None:
        """Gives the connection back: open if the body was read to its end and the server keeps it, else closed."""
        connection, self.connection = self.connection, None
        if connection is not None:
            self.close()
            if self.will_close or not self._complete:
                connection.close()
            self._pool._put_conn(connection)  # a closed one opens anew when its turn comes


class _HeadWriter(http.client.HTTPConnection):
    """Keeps what it would send."""

    written = b""

    def send(self, data: Any) -> None:
        self.written += data


def _head(url: str, headers: dict[str, str]) -> bytes:
    """A POST's head, as http.client writes and checks it, but for the length, which goes in by ``%``.

    Raises:
        ValueError: a header cannot be sent.
        http.client.HTTPException: nor can the address.
    """
    parts = urlsplit(url)
    writer = _HeadWriter(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
    writer.default_port = 443 if parts.scheme == "https" else 80
    target = parse_url(url).request_uri  # percent-encoded where need be
    given = {name.lower() for name in headers}
    writer.putrequest("POST", target, skip_host="host" in given, skip_accept_encoding="accept-encoding" in given)
    for name, value in headers.items():
        writer.putheader(name, value)
    writer.endheaders()
    return writer.written[:-2].replace(b"%", b"%%") + b"Content-Length: %d\r\n\r\n"


AnyResponse = Response | urllib3.BaseHTTPResponse
"""Direct or through a proxy: `status`, `headers`, `read`, `read1`, `close` and `release_conn` of both are alike."""
