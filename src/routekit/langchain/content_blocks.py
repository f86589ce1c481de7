"""Content blocks to Chat Completions content parts: text, image, audio, video, file.

Reads LangChain's standard blocks (v1, and v0 before that), Chat Completions' own parts, and
Anthropic's. A block of an unknown type travels untouched: the provider may know it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from routekit.errors import InvalidInputError

_KEPT_BESIDE = ("cache_control", "prompt_cache_breakpoint")
"""Marks for a provider's prompt cache, on a block or in its `extras`."""

_AUDIO_FORMATS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav", "x-m4a": "m4a"}


def parts_of(content: Iterable[Any]) -> list[dict[str, Any]]:
    """The parts of a message's list content.

    Raises:
        InvalidInputError: a block that misses its data, or has it in a form that cannot be sent.
    """
    return [part_of(block) for block in content]


def part_of(block: Any) -> dict[str, Any]:
    """One block as a part."""
    if isinstance(block, str):
        return {"type": "text", "text": block}
    if not isinstance(block, Mapping):
        raise InvalidInputError(f"a content block is a {type(block).__name__}; use a text or a dictionary")
    kind = block.get("type")
    if kind == "non_standard" and isinstance(value := block.get("value"), Mapping):
        return part_of(value)
    make = _MAKERS.get(kind) if isinstance(kind, str) else None
    if make is None:
        return dict(block)
    part = make(block)
    for key in _KEPT_BESIDE:
        if key in block:
            part[key] = block[key]
        elif key in (block.get("extras") or ()):
            part[key] = block["extras"][key]
    return part


def _text(block: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "text", "text": block.get("text") or ""}


def _image_url(block: Mapping[str, Any]) -> dict[str, Any]:
    url = block.get("image_url")
    return {"type": "image_url", "image_url": {"url": url} if isinstance(url, str) else url}


def _image(block: Mapping[str, Any]) -> dict[str, Any]:
    source = _source(block)
    if "file_id" in source:
        return {"type": "file", "file": {"file_id": source["file_id"]}}
    image = {"url": _url(source, "image")}
    if detail := block.get("detail") or (block.get("extras") or {}).get("detail"):
        image["detail"] = detail
    return {"type": "image_url", "image_url": image}


def _audio(block: Mapping[str, Any]) -> dict[str, Any]:
    source = _source(block)
    if "base64" not in source:
        raise InvalidInputError("an audio block needs `base64` data and a `mime_type`; audio by URL cannot be sent")
    form = _mime(source, "audio").partition("/")[2]
    return {"type": "input_audio", "input_audio": {"data": source["base64"], "format": _AUDIO_FORMATS.get(form, form)}}


def _video(block: Mapping[str, Any]) -> dict[str, Any]:
    # Not in OpenAI's own API; vLLM, OpenRouter and others agree on this form.
    return {"type": "video_url", "video_url": {"url": _url(_source(block), "video")}}


def _file(block: Mapping[str, Any]) -> dict[str, Any]:
    if "file" in block:
        return dict(block)
    source = _source(block)
    if "text" in source:
        return {"type": "text", "text": source["text"]}
    if "file_id" in source:
        return {"type": "file", "file": {"file_id": source["file_id"]}}
    url = _url(source, "file")
    extras = block.get("extras") or block.get("metadata") or {}
    name = block.get("filename") or block.get("title") or extras.get("filename") or extras.get("name")
    if not name:  # some endpoints insist on one
        name = "document." + ((source.get("mime_type") or "").partition("/")[2].partition(";")[0] or "pdf")
    return {"type": "file", "file": {"filename": name, "file_data": url}}


def _plain_text(block: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "text", "text": block["text"]} if block.get("text") else _file(block)


def _source(block: Mapping[str, Any]) -> dict[str, Any]:
    """Where a block's data is, under one set of names: base64, url, file_id or text, and mime_type."""
    source = block.get("source")
    if isinstance(source, Mapping):  # Anthropic
        kind, data = source.get("type"), source.get("data")
        if kind == "text":
            return {"text": data or ""}
        if kind == "content":
            inner = source.get("content") or ""
            texts = inner if isinstance(inner, str) else "".join(part.get("text", "") for part in inner)
            return {"text": texts}
        found = {"base64": data, "url": source.get("url"), "file_id": source.get("file_id")}
        mime = source.get("media_type")
    else:
        data = block.get("base64") or (block.get("data") if block.get("source_type") == "base64" else None)
        by_id = block.get("id") if block.get("source_type") == "id" else None
        if block.get("source_type") == "text":
            return {"text": block.get("text") or block.get("url") or ""}
        found = {"base64": data, "url": block.get("url"), "file_id": block.get("file_id") or by_id}
        mime = block.get("mime_type")
    return {key: value for key, value in {**found, "mime_type": mime}.items() if value is not None}


def _url(source: Mapping[str, Any], kind: str) -> str:
    if "base64" in source:
        return f"data:{_mime(source, kind)};base64,{source['base64']}"
    if "url" in source:
        return str(source["url"])
    raise InvalidInputError(f"a content block of type {kind!r} has no data; give it `base64`, `url` or `file_id`")


def _mime(source: Mapping[str, Any], kind: str) -> str:
    if mime := source.get("mime_type"):
        return str(mime)
    raise InvalidInputError(f"a content block of type {kind!r} has `base64` data without a `mime_type`; add it")


_MAKERS = {
    "text": _text,
    "text-plain": _plain_text,
    "image_url": _image_url,
    "image": _image,
    "audio": _audio,
    "video": _video,
    "file": _file,
    "document": _file,
}
