"""What a refused request was refused for: bodies as vendors and servers really send them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from routekit.builtin.providers.errors import classify, redactor
from routekit.builtin.providers.litellm.errors import classify as classify_litellm
from routekit.errors import (
    AuthenticationError,
    ContentFilterError,
    ContextLengthExceededError,
    InvalidRequestError,
    InvalidResponseError,
    ModelNotFoundError,
    ProviderError,
    ProviderUnavailableError,
    RateLimitError,
    UnsupportedParameterError,
)


def openai(message: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


def anthropic(message: str, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


def gemini(message: str, status: str = "INVALID_ARGUMENT", reason: str | None = None, code: int = 400) -> Any:
    error: dict[str, Any] = {"code": code, "message": message, "status": status}
    if reason:
        error["details"] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]
    return [{"error": error}]


def vllm(message: str) -> dict[str, Any]:
    return {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400}


CONTEXT: dict[str, tuple[int, Any]] = {
    "openai": (400, openai("This model's maximum context length is 128000 tokens. However, your messages resulted in "
                           "150000 tokens. Please reduce the length of the messages.", "context_length_exceeded")),
    "openai, without a code": (400, openai("Input tokens exceed the configured limit of 272000 tokens. Your messages "
                                           "resulted in 300000 tokens. Please reduce the length of the messages.")),
    "openai, limit": (400, openai("max_tokens is too large: 5000. This model's maximum context length is 4096 tokens "
                                  "and your request has 10 input tokens", "invalid_value")),
    "anthropic": (400, anthropic("prompt is too long: 208310 tokens > 200000 maximum")),
    "anthropic, both": (400, anthropic("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, "
                                       "decrease input length or `max_tokens` and try again")),
    "gemini": (400, gemini("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).")),
    "mistral": (400, {"object": "error", "message": "Prompt contains 40000 tokens and 0 draft tokens, too large for "
                      "model with 32768 maximum context length", "type": "invalid_request_error", "code": "3051"}),
    "groq": (400, openai("Please reduce the length of the messages or completion.", "context_length_exceeded",
                         "messages")),
    "vllm": (400, vllm("This model's maximum context length is 4096 tokens. However, you requested 5000 tokens")),
    "vllm, nothing left": (400, vllm("max_tokens must be at least 1, got -139.")),
    "vllm, nothing left, as a value": (400, vllm("[{'type': 'value_error', 'msg': 'max_tokens must be at least 1, got "
                                                 "-12.'}]")),
    "vllm, v1": (400, vllm("The decoder prompt (length 9000) is longer than the maximum model length of 8192.")),
    "sglang": (400, vllm("The input (5000 tokens) is longer than the model's context length (4096 tokens).")),
    "sglang, both": (400, vllm("Requested token count exceeds the model's maximum context length of 4096 tokens.")),
    "tgi": (422, {"error": "Input validation error: `inputs` must have less than 4096 tokens. Given: 5000",
                  "error_type": "validation"}),
    "tgi, both": (422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: "
                        "9000 `inputs` tokens and 512 `max_new_tokens`", "error_type": "validation"}),
    "ollama": (400, {"error": {"message": "prompt too long; exceeded max context length by 12 tokens",
                               "type": "invalid_request_error"}}),
    "lm studio": (400, {"error": "Trying to keep the first 5000 tokens when context the overflows. However, the model "
                        "is loaded with context length of only 4096 tokens"}),
    "llama.cpp": (400, {"error": {"code": 400, "message": "the request exceeds the available context size, try "
                                  "increasing it", "type": "exceed_context_size_error", "n_ctx": 4096}}),
    "llama.cpp, as a server's error": (500, {"error": {"code": 500, "message": "the request exceeds the available "
                                             "context size", "type": "server_error"}}),
    "fireworks": (400, openai("The prompt is too long: 140000, model maximum context length: 131071")),
    "deepseek": (400, openai("This model's maximum context length is 65536 tokens. However, you requested 70000",
                             "invalid_request_error")),
    "xai": (400, {"code": "Client specified an invalid argument", "error": "This model's maximum prompt length is "
                  "131072 but the request contains 537812 tokens."}),
    "cohere": (400, {"message": "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received "
                     "5000. Try using a shorter prompt, or enabling prompt truncating."}),
    "bedrock": (400, {"message": "Input is too long for requested model.", "__type": "ValidationException"}),
    "bedrock, wrapped": (400, {"message": "The model returned the following errors: prompt is too long: 201000 tokens "
                               "> 200000 maximum"}),
    "dashscope": (400, openai("Range of input length should be [1, 30720]", "invalid_parameter_error")),
    "zhipu": (400, {"error": {"code": "1261", "message": "Prompt exceeds max length"}}),
    "poolside": (400, {"error": {"message": "Input length 131393 exceeds the maximum allowed input length of 131040 "
                                 "tokens.", "code": 400}}),
    "perplexity": (400, {"error": {"message": "The total length of all messages is too long.", "type": "bad_request"}}),
    "copilot": (400, {"error": {"message": "prompt token count of 140000 exceeds the limit of 128000",
                                "code": "model_max_prompt_tokens_exceeded"}}),
    "github models": (413, {"error": {"code": "tokens_limit_reached", "message": "Request body too large for gpt-4o "
                                      "model. Max size: 8000 tokens."}}),
    "openrouter": (400, {"error": {"message": "This endpoint's maximum context length is 65536 tokens. However, you "
                                   "requested about 80000 tokens", "code": 400}}),
    "openrouter, the vendor's": (400, {"error": {"message": "Provider returned error", "code": 400, "metadata": {
        "raw": json.dumps(anthropic("prompt is too long: 210000 tokens > 200000 maximum")),
        "provider_name": "Anthropic"}}}),
    "litellm proxy": (400, {"error": {"message": "litellm.ContextWindowExceededError: litellm.BadRequestError: "
                                      "ContextWindowExceededError: OpenAIException - This model's maximum context "
                                      "length is 8192 tokens", "type": None, "param": None, "code": "400"}}),
    "moonshot": (400, openai("Invalid request: Your request exceeded model token limit: 8192")),
    "minimax": (400, openai("invalid params, context window exceeds limit (2013)")),
    "a proxy's 413": (413, {"message": "Payload Too Large"}),
}  # fmt: skip

ELSEWHERE: dict[str, tuple[int, Any, type[ProviderError]]] = {
    "gemini, wrong key": (400, gemini("API key not valid. Please pass a valid API key.", reason="API_KEY_INVALID"),
                          AuthenticationError),
    "gemini, wrong key, without details": (400, gemini("API key not valid. Please pass a valid API key."),
                                           AuthenticationError),
    "gemini, expired": (400, gemini("API key expired. Please renew the API key.", reason="API_KEY_INVALID"),
                        AuthenticationError),
    "gemini, place": (400, gemini("User location is not supported for the API use.", "FAILED_PRECONDITION"),
                      AuthenticationError),
    "gemini, billing": (400, gemini("Gemini API free tier is not available in your country. Please enable billing on "
                                    "your project", "FAILED_PRECONDITION"), AuthenticationError),
    "anthropic, no credit": (400, anthropic("Your credit balance is too low to access the Anthropic API. Please go to "
                                            "Plans & Billing to upgrade or purchase credits."), AuthenticationError),
    "anthropic, disabled": (400, anthropic("This organization has been disabled."), AuthenticationError),
    "anthropic, limit": (400, anthropic("You have reached your specified API usage limits. You will regain access on "
                                        "2026-01-01 at 00:00 UTC."), AuthenticationError),
    "openai, unverified": (400, openai("Your organization must be verified to stream this model."),
                           AuthenticationError),
    "xai, wrong key": (400, {"code": "Client specified an invalid argument",
                             "error": "Incorrect API key provided: xa***y. You can obtain one from the console."},
                       AuthenticationError),
    "groq, terms": (400, openai("The model `x` requires terms acceptance.", "model_terms_required"),
                    AuthenticationError),
    "dashscope, unpaid": (400, openai("Access denied, please make sure your account is in good standing.",
                                      "Arrearage"), AuthenticationError),
    "litellm proxy, budget": (400, {"error": {"message": "Budget has been exceeded! Current cost: 10.2, Max budget: "
                                              "10.0", "type": "budget_exceeded", "param": None, "code": "400"}},
                              AuthenticationError),
    "litellm proxy, budget as a 429": (429, {"error": {"message": "Budget has been exceeded!",
                                             "type": "budget_exceeded", "code": "429"}}, AuthenticationError),
    "bedrock, access": (400, {"message": "You don't have access to the model with the specified model ID.",
                              "__type": "AccessDeniedException"}, AuthenticationError),
    "bedrock, throttled": (400, {"message": "Too many tokens, please wait before trying again.",
                                 "__type": "ThrottlingException"}, RateLimitError),
    "bedrock, throttled, in words": (400, {"message": "Too many requests, please wait before trying again."},
                                     RateLimitError),
    "throttled as a 424": (424, {"message": "Rate limit reached for the upstream"}, RateLimitError),
    "hugging face": (424, {"message": "The model returned the following errors: service unavailable"},
                     ProviderUnavailableError),
    "nginx's 499": (499, {"error": {"code": 499, "message": "The operation was cancelled.", "status": "CANCELLED"}},
                    ProviderUnavailableError),
    "loading": (400, {"error": "Model is loading, try again later"}, ProviderUnavailableError),
    "groq, tool use": (400, openai("Failed to call a function. Please adjust your prompt. See 'failed_generation' for "
                                   "more details.", "tool_use_failed"), InvalidResponseError),
    "groq, JSON": (400, openai("Failed to generate JSON. Please adjust your prompt.", "json_validate_failed"),
                   InvalidResponseError),
    "azure, filter": (400, openai("The response was filtered due to the prompt triggering Azure OpenAI's content "
                                  "management policy.", "content_filter"), ContentFilterError),
    "openai, policy": (400, openai("Invalid prompt: your prompt was flagged as potentially violating our usage "
                                   "policy.", "invalid_prompt"), ContentFilterError),
    "openrouter, moderation": (403, {"error": {"code": 403, "message": "Your chosen model requires moderation and "
                                               "your input was flagged for \"violence\""}}, ContentFilterError),
    "azure, chat": (400, openai("The chatCompletion operation does not work with the specified model",
                                "OperationNotSupported"), ModelNotFoundError),
    "bedrock, model": (400, {"message": "The provided model identifier is invalid."}, ModelNotFoundError),
    "lm studio, model": (400, {"error": "Model \"x\" is not loaded. Please load it first"}, ModelNotFoundError),
}  # fmt: skip

PARAMETERS: dict[str, tuple[int, Any, str, str]] = {
    "openai, value": (400, openai("Unsupported value: 'temperature' does not support 0 with this model. Only the "
                                  "default (1) value is supported.", "unsupported_value", "temperature"),
                      "temperature", ""),
    "openai, renamed": (400, openai("Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                                    "'max_completion_tokens' instead.", "unsupported_parameter", "max_tokens"),
                        "max_tokens", "max_completion_tokens"),
    "openai, renamed, words only": (400, openai("Unsupported parameter: 'max_tokens' is not supported with this model."
                                                " Use 'max_completion_tokens' instead."),
                                    "max_tokens", "max_completion_tokens"),
    "openai, unknown": (400, openai("Unknown parameter: 'stream_options'.", "unknown_parameter", "stream_options"),
                        "stream_options", ""),
    "azure": (400, openai("Unrecognized request argument supplied: parallel_tool_calls"), "parallel_tool_calls", ""),
    "openai, schema": (400, openai("Invalid parameter: 'response_format' of type 'json_schema' is not supported with "
                                   "this model.", None, "response_format"), "json_schema", ""),
    "openai, picture": (400, openai("Invalid content type. image_url is only supported by certain models.",
                                    None, "messages.[0].content.[1].type"), "vision", ""),
    "openai, system": (400, openai("Unsupported value: 'messages[0].role' does not support 'system' with this model.",
                                   "unsupported_value", "messages[0].role"), "system", ""),
    "openai, output": (400, openai("max_tokens is too large: 100000. This model supports at most 16384 completion "
                                   "tokens, whereas you provided 100000.", "invalid_value", "max_tokens"),
                       "max_tokens", ""),
    "anthropic, output": (400, anthropic("max_tokens: 100000 > 8192, which is the maximum allowed number of output "
                                         "tokens for claude"), "max_tokens", ""),
    "anthropic, extra": (400, anthropic("stream_options: Extra inputs are not permitted"), "stream_options", ""),
    "anthropic, deprecated": (400, anthropic("`temperature` is deprecated for this model."), "temperature", ""),
    "fastapi": (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"],
                                  "msg": "Extra inputs are not permitted", "input": {"include_usage": True}}]},
                "stream_options", ""),
    "mistral": (422, {"object": "error", "message": {"detail": [{"type": "extra_forbidden",
                "loc": ["body", "parallel_tool_calls"], "msg": "Extra inputs are not permitted", "input": True}]}},
                "parallel_tool_calls", ""),
    "vllm, tools": (400, vllm("\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be "
                              "set"), "tools", ""),
    "vllm, pictures": (400, vllm("google/gemma-2b is not a multimodal model None")
                       , "vision", ""),
    "ollama, tools": (400, {"error": {"message": "registry.ollama.ai/library/gemma:2b does not support tools",
                                      "type": "api_error"}}, "tools", ""),
    "gemini, tools": (400, gemini("Function calling is not enabled for models/gemma-3-27b-it"), "tools", ""),
    "gemini, system": (400, gemini("Developer instruction is not enabled for models/gemma-3-27b-it"), "system", ""),
    "gemini, JSON": (400, gemini("JSON mode is not enabled for models/gemma-3-27b-it"), "json_object", ""),
    "gemini, picture": (400, gemini("Image input modality is not enabled for models/gemma"), "vision", ""),
    "openrouter, picture": (404, {"error": {"message": "No endpoints found that support image input", "code": 404}},
                            "vision", ""),
    "openrouter, tools": (404, {"error": {"message": "No endpoints found that support tool use. To learn more about "
                                          "provider routing, visit the docs", "code": 404}}, "tools", ""),
    "bedrock, tools": (400, {"message": "This model doesn't support tool use."}, "tools", ""),
    "bedrock, extraneous": (400, {"message": "Malformed input request: #: extraneous key [top_k] is not permitted, "
                                  "please reformat your input and try again."}, "top_k", ""),
    "deepseek, tools": (400, openai("deepseek-reasoner does not support Function Calling"), "tools", ""),
    "deepseek, response_format": (400, openai("This response_format type is unavailable now: response_format is not "
                                              "supported"), "response_format", ""),
    "groq": (400, openai("property 'parallel_tool_calls' is unsupported"), "parallel_tool_calls", ""),
    "xai": (400, {"code": "Client specified an invalid argument",
                  "error": "Argument not supported on this model: presencePenalty"}, "presence_penalty", ""),
    "together": (400, openai("logprobs is not supported for this model")
                 , "logprobs", ""),
    "an SDK behind": (400, {"error": "create() got an unexpected keyword argument 'stream_options'"},
                      "stream_options", ""),
    "plain": (400, {"error": {"message": "This model does not support temperature"}}, "temperature", ""),
}  # fmt: skip

ITS_OWN: dict[str, tuple[int, Any]] = {
    "value": (400, openai("Invalid 'messages[0].role'", "invalid_value", "messages[0].role")),
    "type": (400, openai("Invalid type for 'messages': expected an array", "invalid_type", "messages")),
    "schema": (400, openai("Invalid schema for function 'f': 'x' is not valid under any of the given schemas",
                           "invalid_function_parameters", "tools[0].function.parameters")),
    "schema, in words": (400, openai("Invalid schema for response_format 'a': ...", None, "response_format")),
    "missing": (400, openai("Missing required parameter: 'messages[0].content'.", "missing_required_parameter",
                            "messages[0].content")),
    "tools' results": (400, openai("An assistant message with 'tool_calls' must be followed by tool messages "
                                   "responding to each 'tool_call_id'.", None, "messages.[2].role")),
    "results of nothing": (400, openai("messages with role 'tool' must be a response to a preceeding message with "
                                       "'tool_calls'.")),
    "fastapi": (422, {"detail": [{"type": "missing", "loc": ["body", "messages"], "msg": "Field required"}]}),
    "anthropic, tools": (400, anthropic("messages.2: `tool_use` ids were found without `tool_result` blocks "
                                        "immediately after: toolu_1.")),
}  # fmt: skip

UNKNOWN: dict[str, tuple[int, Any]] = {
    "nothing": (400, b""),
    "a page": (400, b"<html>Bad Request</html>"),
    "a page about size": (413, b"<html><title>413 Request Entity Too Large</title></html>"),
    "words": (400, openai("temperature must be at most 2")),
    "a template's": (400, vllm("Conversation roles must alternate user/assistant/user/assistant/...")),
    "a riddle": (422, {"error": {"message": "Unprocessable Entity"}}),
    "another vendor's": (400, {"error": {"message": "Provider returned error", "code": 400}}),
    "a conflict of tastes": (418, {"error": "teapot"}),
}  # fmt: skip


def read(status: int, body: Any, sent: Any = None) -> ProviderError:
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = None if sent is None else json.dumps(sent).encode()
    return classify(status, {}, payload, deployment="d", redact=redactor([]), sent=request)


class TestTheTable:
    @pytest.mark.parametrize("who", CONTEXT)
    def test_too_many_tokens_in_any_wording(self, who: str) -> None:
        assert type(read(*CONTEXT[who])) is ContextLengthExceededError

    @pytest.mark.parametrize("who", ELSEWHERE)
    def test_what_another_one_may_answer(self, who: str) -> None:
        status, body, kind = ELSEWHERE[who]
        error = read(status, body)
        assert type(error) is kind
        assert error.fall_back is (kind is not ContentFilterError)

    def test_a_generation_is_nobodys_fault(self) -> None:
        status, body, _ = ELSEWHERE["groq, tool use"]
        assert read(status, body).blame == "request"

    @pytest.mark.parametrize("who", PARAMETERS)
    def test_what_is_not_taken_here(self, who: str) -> None:
        status, body, name, instead = PARAMETERS[who]
        error = read(status, body)
        assert isinstance(error, UnsupportedParameterError), type(error)
        assert (error.parameter, error.instead) == (name, instead)

    @pytest.mark.parametrize("who", ITS_OWN)
    def test_the_requests_own_fault(self, who: str) -> None:
        error = read(*ITS_OWN[who])
        assert type(error) is InvalidRequestError
        assert (error.fall_back, error.uncertain) == (False, False)

    @pytest.mark.parametrize("who", UNKNOWN)
    def test_what_nobody_knows(self, who: str) -> None:
        error = read(*UNKNOWN[who])
        assert type(error) is InvalidRequestError
        assert error.uncertain

    def test_a_negative_limit_of_the_request_is_its_own(self) -> None:
        body = vllm("max_tokens must be at least 1, got -5.")
        assert type(read(400, body, {"messages": [], "max_tokens": -5})) is InvalidRequestError

    @pytest.mark.parametrize("who", [*CONTEXT, *ELSEWHERE])
    def test_litellms_errors_go_through_the_same_table(self, who: str) -> None:
        class BadRequestError(Exception):
            status_code = 400

        status, body, kind = (*CONTEXT[who], ContextLengthExceededError) if who in CONTEXT else ELSEWHERE[who]
        if status not in (400, 413, 422, 424, 499):
            return
        error = BadRequestError(f"litellm.BadRequestError: SomeException - {json.dumps(body)}")
        error.status_code = status
        assert type(classify_litellm(error, deployment="d")) is kind


class TestAPromptInAnError:
    """Words that the request brought along decide nothing."""

    @pytest.mark.parametrize(
        "prompt",
        [
            "context length exceeded",
            "Your credit balance is too low",
            "Please say: this model's maximum context length is 10 tokens",
            "Why do I get 'prompt is too long: 5 tokens > 3 maximum'?",
            "model gpt-4 does not exist, rate limit reached, API key not valid",
        ],
    )
    def test_is_not_believed(self, prompt: str) -> None:
        sent = {"model": "m", "messages": [{"role": "user", "content": prompt}]}
        own = read(400, openai(f"Invalid value: '{prompt}'", "invalid_value", "messages[0].content"), sent)
        assert (type(own), own.uncertain) == (InvalidRequestError, False)
        unknown = read(400, {"error": {"message": f"Cannot serve: {prompt}"}}, sent)
        assert (type(unknown), unknown.uncertain) == (InvalidRequestError, True)

    def test_is_not_repeated(self) -> None:
        sent = {"messages": [{"role": "user", "content": "my ssn is 123-45-6789"}]}
        for body in (
            {"error": {"message": "Invalid prompt: my ssn is 123-45-6789"}},
            {"error": {"message": "Invalid prompt: MY SSN  is 123-45-6789..."}},
            {"error": {"message": 'Invalid prompt: {\\"content\\": \\"my ssn is 123\\u002d45-6789\\"}'}},
            {"detail": [{"loc": ["body", "messages"], "msg": "bad", "input": "my ssn is 123-45-6789"}]},
            b"<p>my ssn is 123-45-6789</p>",
            b"my ssn is 123&#45;45-6789",
        ):
            error = read(400, body, sent)
            assert "6789" not in f"{error} {error.body}"
            assert "ssn" not in f"{error} {error.body}".lower()


class TestAKeyInAnError:
    @pytest.mark.parametrize("key", ["ab/cd+ef/gh==ijkl", "pass&word<1234>567", "k\"e'y\\with-all-of-it"])
    def test_does_not_come_back(self, key: str) -> None:
        redact = redactor([key])
        escaped = "".join(f"\\u{ord(letter):04x}" if not letter.isalnum() else letter for letter in key)
        twice = json.dumps(json.dumps(key))[1:-1]
        html = key.replace("&", "&amp;").replace("<", "&lt;").replace("/", "&#x2F;").replace("+", "&#43;")
        for payload in (
            json.dumps({"error": {"message": f"bad key {key}"}}),
            json.dumps({"error": {"message": f"bad key {key}"}}).replace("/", "\\/"),
            f'{{"error": {{"message": "bad key {escaped}"}}}}',
            f'{{"error": {{"message": "bad key", "seen": ["{escaped}"], "{escaped}": 1}}}}',
            json.dumps({"error": {"message": twice}}),
            json.dumps({"error": {"message": html}}),
            f"<p>bad key {html}</p>",
            "x" * 16_370 + key,
            json.dumps({"error": {"message": f"bad key {key[:-4]}..."}}),
        ):
            error = classify(401, {}, payload.encode(), deployment="d", redact=redact)
            told = f"{error} {json.dumps(error.body)} {error.body}"
            assert key not in told
            assert key[:10] not in told
