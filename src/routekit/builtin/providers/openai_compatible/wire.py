"""Chat Completions on the wire: from a call to a request body, from a response body to an answer. Pure."""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

from routekit.builtin.providers.errors import Redact, error_inside
from routekit.errors import InvalidRequestError, InvalidResponseError, ProviderError
from routekit.plugin import Answer, Embeddings, ProviderCall
from routekit.types import Choice, Deployment, follows_tool_results
from routekit.types.reported import read_usage
from routekit.types.sending import LIMITS, changed_params, sent_params

ERROR_BODY_BYTES = 65_536
"""As much of an error's body is read."""

RECEIVED_BYTES = 2**20
"""As much of what is no answer is counted, where it may have to be paid."""

_KEPT_HEADERS = frozenset({"retry-after", "x-request-id", "request-id", "openai-processing-ms"})
_ANSWERS = ("content", "tool_calls", "refusal", "function_call", "audio", "reasoning_content", "reasoning")
_EMPTY_IS_FINE = frozenset({"length", "max_tokens", "content_filter", "safety"})
_ENVELOPE = frozenset(
    {"id", "object", "created", "model", "choices", "usage", "error", "system_fingerprint", "service_tier", "provider",
     "obfuscation", "timings", "time_info", "stats", "prompt_token_ids", "prompt_logprobs", "prompt_filter_results",
     "kv_transfer_params", "x_groq", "request_id", "created_at", "nonce", "metrics", "code", "status"}
)  # fmt: skip
"""What stands beside an answer and tells of the request or of the server."""

_OF_THE_ANSWER = frozenset(
    {"citations", "search_results", "related_questions", "images", "videos", "annotations", "references", "sources"}
)


def _plain(value: Any) -> Any:
    """Read-only mappings and other sequences, which JSON does not know."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (Sequence, set, frozenset)):
        return list(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_plain).encode


def chat_body(
    call: ProviderCall,
    extra: Mapping[str, Any],
    *,
    stream: bool,
    stream_usage: bool = False,
    output_limit: str | None = None,
) -> bytes:
    """The request body. `extra` gives defaults, which the call's own parameters replace; None drops a parameter.

    `output_limit` names the parameter that a limit on output tokens is sent as, whichever way it was given.

    Raises:
        InvalidRequestError: something in the request cannot be written as JSON.
    """
    body: dict[str, Any] = {
        **sent_params(extra, call.params), "model": call.deployment.model.id, "messages": call.messages,
    }  # fmt: skip
    if call.tools:
        body["tools"] = call.tools
    body.pop("stream", None)
    if output_limit is not None:
        for name in LIMITS:
            if name != output_limit and name in body:
                body[output_limit] = body.pop(name)
    if stream:
        body["stream"] = True
        if stream_usage:
            body["stream_options"] = {"include_usage": True, **(body.get("stream_options") or {})}
    if call.omit or call.rename:
        body = dict(changed_params(body, call.omit, call.rename))
    return _written(body, call.deployment)


def embeddings_body(deployment: Deployment, texts: Sequence[str], extra: Mapping[str, Any]) -> bytes:
    """The request body for vectors."""
    return _written({**extra, "model": deployment.model.id, "input": list(texts)}, deployment)


def _written(body: dict[str, Any], deployment: Deployment) -> bytes:
    problem = ""
    try:
        return _encode(body).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        problem = str(error)
    raise InvalidRequestError(f"the request cannot be written as JSON: {problem}", deployment=deployment.name)


def read_answer(payload: bytes, call: ProviderCall, headers: Mapping[str, str], redact: Redact) -> Answer:
    """The answer in a 200's body.

    Raises:
        InvalidResponseError: it is none: bad JSON, no choices, nothing in the message.
        ProviderError: an error object stands there instead, classified by its code.
    """
    data: Any = None
    try:
        data = _object(payload, call.deployment.name, redact, call)
        return answer_in(data, call, headers)
    except ProviderError as error:  # it is owed all the same
        if error.usage is None:
            found = data if data is not None else _mapping(payload)
            error.usage = read_usage(found.get("usage"), found.get("service_tier"))
        error.received = payload[:RECEIVED_BYTES].decode("utf-8", "replace")
        raise


def answer_in(data: Mapping[str, Any], call: ProviderCall, headers: Mapping[str, str]) -> Answer:
    """The answer in a body that is no error. Raises InvalidResponseError where there is none."""
    name = call.deployment.name
    found = data.get("choices")
    choices: list[Any] = found if isinstance(found, list) else []
    choice = choices[0] if choices else None
    if not isinstance(choice, dict):
        _invalid(name, "it has no choices")
    message = message_in(choice)
    reason = choice.get("finish_reason")
    if message is None:
        _invalid(name, "its choice has no message")
    if not is_answer(message, reason, call):
        _invalid(name, "its message is empty: no content, tool calls or refusal")
    message.setdefault("role", "assistant")
    return Answer(
        message={**message, **beside(data)},  # type: ignore[typeddict-item]  # a message of the wire is one of ours
        finish_reason=reason,
        usage=read_usage(data.get("usage"), data.get("service_tier")),
        model=data.get("model"),
        logprobs=choice.get("logprobs"),
        headers=headers,
        others=tuple(
            Choice(
                message=other,  # type: ignore[arg-type]  # so is this one
                finish_reason=item.get("finish_reason"),
                logprobs=item.get("logprobs"),
                index=place,
            )
            for place, item in enumerate(choices[1:], start=1)
            if isinstance(item, dict) and (other := message_in(item)) is not None
        ),
    )


def message_in(choice: Mapping[str, Any]) -> dict[str, Any] | None:
    """A choice's message, under any of the names that servers have for it; None where there is none."""
    for key in ("message", "delta"):
        if isinstance(found := choice.get(key), dict):
            return found
    return {"content": choice["text"]} if isinstance(choice.get("text"), str) else None


def beside(data: Mapping[str, Any]) -> dict[str, Any]:
    """What a vendor puts beside `choices` that belongs to the answer, such as Perplexity's citations.

    What nobody here knows stands together under ``extras``.
    """
    if data.keys() <= _ENVELOPE:
        return {}
    found: dict[str, Any] = {}
    for key in data.keys() - _ENVELOPE:
        if (value := data[key]) is not None:
            (found if key in _OF_THE_ANSWER else found.setdefault("extras", {}))[key] = value
    return found


def is_answer(message: Mapping[str, Any], reason: Any, call: ProviderCall) -> bool:
    """Whether a message answers.

    An empty one does where a limit, a filter or the caller's `stop` can make it so, and where results of
    tools came before it: an agent's turn may end without a word.
    """
    if message.get("content") or any(message.get(key) for key in _ANSWERS):
        return True
    if isinstance(reason, str) and reason.lower() in _EMPTY_IS_FINE:
        return True
    return bool(reason and (call.params.get("stop") or follows_tool_results(call.messages)))


def read_embeddings(payload: bytes, deployment: Deployment, count: int, redact: Redact) -> Embeddings:
    """The vectors in a 200's body, put in the order of the texts."""
    data = _object(payload, deployment.name, redact)
    vectors: list[tuple[float, ...]] | None = None
    try:
        rows = sorted(data["data"], key=lambda row: row.get("index", 0))
        vectors = [tuple(map(float, row["embedding"])) for row in rows]
    except (KeyError, TypeError, ValueError, AttributeError):
        vectors = None
    if vectors is None or len(vectors) != count or not all(vectors):
        _invalid(deployment.name, f"it does not hold {count} vectors")
    read = read_usage(data.get("usage"))
    return Embeddings(vectors=tuple(vectors), input_tokens=read.total_tokens if read else None, model=data.get("model"))


def kept_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The response's headers about limits and request ids, lower-case."""
    kept = {}
    for name, value in headers:
        lower = name.lower()
        if lower in _KEPT_HEADERS or lower.startswith("x-ratelimit-"):
            kept[lower] = value
    return kept


class Body:
    """Collects a response body up to `limit` bytes after decompression, so that a small one cannot unpack to gigabytes.

    Requests ask for no compression; some proxies compress all the same. `truncate` is for error bodies,
    of which the beginning is enough.

    Raises:
        InvalidResponseError: too large, broken, or compressed in a way that nobody asked for.
    """

    __slots__ = ("_deployment", "_inflate", "_left", "_limit", "_pieces", "_truncate")

    def __init__(self, encoding: str | None, limit: int, deployment: str, *, truncate: bool = False) -> None:
        self._limit = self._left = limit
        self._deployment = deployment
        self._truncate = truncate
        self._pieces: list[bytes] = []
        self._inflate = inflater(encoding, deployment)

    def add(self, data: bytes) -> bool:
        """Takes a piece; whether there is room for more."""
        if self._inflate is not None:
            data = self._inflate(data, self._left + 1)  # one byte too many shows that there is more
        self._left -= len(data)
        self._pieces.append(data)
        if self._left >= 0:
            return True
        if not self._truncate:
            _invalid(self._deployment, f"it is larger than max_response_bytes = {self._limit}")
        return False

    def joined(self) -> bytes:
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)


def inflater(encoding: str | None, deployment: str) -> Callable[[bytes, int], bytes] | None:
    """``inflate(data, limit)`` for a Content-Encoding: at most `limit` bytes, no more. None for plain bodies."""
    coding = (encoding or "identity").lower()
    if coding == "identity":
        return None
    if coding not in ("gzip", "x-gzip", "deflate"):
        _invalid(deployment, f"its Content-Encoding {coding[:20]!r} was not asked for")
    engine = zlib.decompressobj(wbits=zlib.MAX_WBITS + (0 if coding == "deflate" else 16))

    def inflate(data: bytes, limit: int) -> bytes:
        out: bytes | None = None
        with contextlib.suppress(zlib.error):
            out = engine.decompress(data, limit)
        if out is None:
            _invalid(deployment, "its compressed body is broken")
        return out

    return inflate


def _object(payload: bytes, deployment: str, redact: Redact, sent: ProviderCall | None = None) -> dict[str, Any]:
    data: Any = None
    broken = False
    try:
        data = json.loads(payload)
    except (ValueError, RecursionError):
        broken = True
    if broken:
        _invalid(deployment, "its body is not JSON" if payload else "its body is empty")
    if isinstance(data, list) and data:
        data = data[0]
    if not isinstance(data, dict):
        _invalid(deployment, "its body is not a JSON object")
    if data.get("error"):
        raise error_inside(data, deployment=deployment, redact=redact, sent=sent)
    return data


def _mapping(payload: bytes) -> Mapping[str, Any]:
    try:
        data = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _invalid(deployment: str, why: str) -> NoReturn:
    raise InvalidResponseError(
        f"deployment {deployment!r}: the response cannot be used: {why}", deployment=deployment, status=200
    )
