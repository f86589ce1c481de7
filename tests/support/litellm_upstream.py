"""A loopback server that answers like Anthropic (`/v1/messages`) and like OpenAI, as told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Upstream:
    """`reply` is what the next requests get: status, body (JSON, or a list of server-sent events), headers.

    An event that is None cuts the connection; one that is a number waits for `released` first.
    `requests` holds what was asked: path, headers (lower-case), body.
    """

    def __init__(self) -> None:
        self.status = 200
        self.body: Any = {}
        self.headers: dict[str, str] = {}
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.released = threading.Event()
        self.gone = threading.Event()
        self.url = ""

    def reply(self, body: Any, status: int = 200, **headers: str) -> None:
        self.status, self.body = status, body
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    @property
    def asked(self) -> dict[str, Any]:
        """The body of the last request."""
        return self.requests[-1][2]


@contextmanager
def upstream() -> Iterator[Upstream]:
    state = Upstream()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_POST(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(size) or b"{}")
            headers = {name.lower(): value for name, value in self.headers.items()}
            state.requests.append((self.path, headers, body))
            self.send_response(state.status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            if isinstance(state.body, list):
                self.close_connection = True
                self.send_header("content-type", "text/event-stream")
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                try:
                    self._events(state.body)
                except OSError:
                    state.gone.set()
                return
            data = json.dumps(state.body).encode()
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _events(self, events: list[Any]) -> None:
            for event in events:
                if event is None:
                    self.wfile.flush()
                    self.connection.shutdown(2)
                    return
                if event == "wait":
                    # Comments keep coming, so that a client that went away is noticed.
                    while not state.released.wait(0.02):
                        self._chunk(": waiting\n\n")
                    continue
                text = event if isinstance(event, str) else json.dumps(event)
                kind = f"event: {event['type']}\n" if isinstance(event, dict) and "type" in event else ""
                self._chunk(f"{kind}data: {text}\n\n")
            self.wfile.write(b"0\r\n\r\n")

        def _chunk(self, text: str) -> None:
            data = text.encode()
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def claude(*content: dict[str, Any], stop: str = "end_turn", **usage: int) -> dict[str, Any]:
    """A Messages answer."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-served",
        "content": list(content) or [{"type": "text", "text": "hello"}],
        "stop_reason": stop,
        "usage": {"input_tokens": 10, "output_tokens": 5, **usage},
    }


def claude_events(*deltas: str, stop: str | None = "end_turn", **usage: int) -> list[Any]:
    """The same as server-sent events; without `stop` it breaks off without a word."""
    start = {**claude(**usage), "content": [], "stop_reason": None}
    events: list[Any] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": d}} for d in deltas),
    ]
    if stop is None:
        return events
    return [
        *events,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]


def gpt(content: str | None = "hello", **more: Any) -> dict[str, Any]:
    """A Chat Completions answer."""
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-served",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop", **more}
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }
