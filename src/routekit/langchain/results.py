"""Results and chunks, as LangChain's."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from routekit.langchain.messages import (
    MODEL_PROVIDER,
    STREAMED,
    extras_of,
    to_ai_message,
    to_chunk,
    usage_metadata,
)
from routekit.langchain.tool_calls import custom_calls
from routekit.types import Choice, Chunk, RouteResult


def _chat_result(result: RouteResult) -> ChatResult:
    usage = usage_metadata(result.usage)
    info: dict[str, Any] = {"finish_reason": result.finish_reason}
    if result.logprobs is not None:
        info["logprobs"] = dict(result.logprobs)
    message = to_ai_message(result.message, usage=usage, response_metadata=_metadata(result))
    output = {
        "token_usage": {
            "prompt_tokens": usage["input_tokens"],
            "completion_tokens": usage["output_tokens"],
            "total_tokens": usage["total_tokens"],
        },
        "model_name": message.response_metadata["model_name"],
    }
    generations = [ChatGeneration(message=message, generation_info=info)]
    generations += [_generation(choice) for choice in result.others]
    return ChatResult(generations=generations, llm_output=output)


def _generation(choice: Choice) -> ChatGeneration:
    """One more of several answers. Tokens and cost are the whole call's, and stand on the first."""
    info: dict[str, Any] = {"finish_reason": choice.finish_reason}
    if choice.logprobs is not None:
        info["logprobs"] = dict(choice.logprobs)
    metadata = {"model_provider": MODEL_PROVIDER, "finish_reason": choice.finish_reason}
    message = to_ai_message(choice.message, response_metadata=metadata)
    return ChatGeneration(message=message, generation_info=info)


def _metadata(result: RouteResult) -> dict[str, Any]:
    name = result.model or (result.deployment.model.id if result.deployment else "unknown")
    return {
        "model_name": name,
        "model_provider": MODEL_PROVIDER,
        "finish_reason": result.finish_reason,
        "routekit": result.to_dict(),
    }


def _generation_chunk(chunk: Chunk) -> ChatGenerationChunk | None:
    message = to_chunk(chunk.delta)
    if message is None:
        return None
    info = {"logprobs": dict(chunk.logprobs)} if chunk.logprobs else None
    return ChatGenerationChunk(message=message, generation_info=info)


def _last_chunk(result: RouteResult) -> ChatGenerationChunk:
    """The end of a stream: usage, the whole story, and what an answer has beyond its pieces."""
    extra = {key: value for key, value in extras_of(result.message).items() if key not in STREAMED}
    said = result.message.get("content")
    parts = [part for part in said if part.get("type") != "text"] if isinstance(said, list) else ""
    message = AIMessageChunk(
        content=parts,
        additional_kwargs=extra,
        tool_call_chunks=custom_calls(result.message),
        usage_metadata=usage_metadata(result.usage),
        response_metadata=_metadata(result),
        chunk_position="last",
    )
    return ChatGenerationChunk(message=message)
