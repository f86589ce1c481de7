"""A Chat Completions endpoint on loopback that costs as little as possible, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys

CHUNKS = 200
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
_MESSAGE = {"role": "assistant", "content": "The sky is blue because air scatters blue light more than red light."}
_USAGE = {"prompt_tokens": 12, "completion_tokens": 14, "total_tokens": 26}
_WHOLE = json.dumps(
    {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "bench",
        "choices": [{"index": 0, "message": _MESSAGE, "finish_reason": "stop"}], "usage": _USAGE,
    }
).encode()  # fmt: skip


def _event(delta: dict, reason: str | None = None, **more: object) -> bytes:
    body = {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "bench",
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **more,
    }  # fmt: skip
    return b"data: " + json.dumps(body).encode() + b"\n\n"


_STREAM = (
    _event({"role": "assistant", "content": ""})
    + b"".join(_event({"content": f"word{i} "}) for i in range(CHUNKS))
    + _event({}, "stop", usage=_USAGE)
    + b"data: [DONE]\n\n"
)
_OK = _HEAD % (b"application/json", len(_WHOLE)) + _WHOLE
_EVENTS = _HEAD % (b"text/event-stream", len(_STREAM)) + _STREAM
_DOWN = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 32\r\n\r\n"
_DOWN += b'{"error":{"message":"overload"}}'


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (int(line[15:]) for line in head.split(b"\r\n") if line[:15].lower() == b"content-length:"), 0
            )
            body = await reader.readexactly(length)
            if head.startswith(b"POST /down"):
                writer.write(_DOWN)
            elif b'"stream":true' in body.replace(b" ", b""):
                writer.write(_EVENTS)
            else:
                writer.write(_OK)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main(seconds: float) -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.sleep(seconds)


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 900.0))
