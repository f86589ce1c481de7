"""Content blocks of three dialects become Chat Completions parts."""

from __future__ import annotations

from typing import Any

import pytest

from routekit.errors import InvalidInputError
from routekit.langchain.content_blocks import part_of

PNG = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
PDF = "data:application/pdf;base64,JVBE"


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ("hi", {"type": "text", "text": "hi"}),
        ({"type": "text", "text": "hi", "id": "1", "annotations": [], "index": 0}, {"type": "text", "text": "hi"}),
        ({"type": "image", "base64": "AAAA", "mime_type": "image/png"}, PNG),
        ({"type": "image", "source_type": "base64", "data": "AAAA", "mime_type": "image/png"}, PNG),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}, PNG),
        (
            {"type": "image", "url": "https://e.com/a.png", "extras": {"detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://e.com/a.png", "detail": "low"}},
        ),
        (
            {"type": "image", "source": {"type": "url", "url": "https://e.com/a.png"}},
            {"type": "image_url", "image_url": {"url": "https://e.com/a.png"}},
        ),
        (
            {"type": "image_url", "image_url": "https://e.com/a.png"},
            {"type": "image_url", "image_url": {"url": "https://e.com/a.png"}},
        ),
        (
            {"type": "audio", "base64": "UklG", "mime_type": "audio/x-wav"},
            {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
        ),
        (
            {"type": "audio", "base64": "UklG", "mime_type": "audio/mpeg"},
            {"type": "input_audio", "input_audio": {"data": "UklG", "format": "mp3"}},
        ),
        (
            {"type": "video", "url": "https://e.com/a.mp4"},
            {"type": "video_url", "video_url": {"url": "https://e.com/a.mp4"}},
        ),
        (
            {"type": "file", "base64": "JVBE", "mime_type": "application/pdf"},
            {"type": "file", "file": {"filename": "document.pdf", "file_data": PDF}},
        ),
        (
            {"type": "file", "base64": "JVBE", "mime_type": "application/pdf", "extras": {"filename": "a.pdf"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}},
        ),
        ({"type": "file", "file_id": "file-1"}, {"type": "file", "file": {"file_id": "file-1"}}),
        ({"type": "file", "file": {"file_id": "file-1"}}, {"type": "file", "file": {"file_id": "file-1"}}),
        (
            {
                "type": "document",
                "title": "b.pdf",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
            },
            {"type": "file", "file": {"filename": "b.pdf", "file_data": PDF}},
        ),
        ({"type": "document", "source": {"type": "text", "data": "abc"}}, {"type": "text", "text": "abc"}),
        ({"type": "text-plain", "text": "abc", "mime_type": "text/plain"}, {"type": "text", "text": "abc"}),
        ({"type": "non_standard", "value": {"type": "image_url", "image_url": {"url": "x"}}},
         {"type": "image_url", "image_url": {"url": "x"}}),
        ({"type": "tomorrow", "x": 1}, {"type": "tomorrow", "x": 1}),
    ],
)  # fmt: skip
def test_blocks(block: Any, part: dict[str, Any]) -> None:
    assert part_of(block) == part


def test_cache_marks_travel() -> None:
    mark = {"type": "ephemeral"}
    assert part_of({"type": "text", "text": "a", "cache_control": mark})["cache_control"] == mark
    assert part_of({"type": "text", "text": "a", "extras": {"cache_control": mark}})["cache_control"] == mark


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ({"type": "image", "base64": "AAAA"}, "mime_type"),
        ({"type": "image"}, "no data"),
        ({"type": "audio", "url": "https://e.com/a.wav"}, "audio by URL"),
        (7, "int"),
    ],
)
def test_blocks_that_cannot_be_sent(block: Any, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        part_of(block)
