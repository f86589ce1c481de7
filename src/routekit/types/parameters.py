"""Pure: which keyword arguments of a call are parameters of the request's body, and what the others should have been.

A name that nobody here knows is refused and not sent on: a misspelt parameter is lost in silence, an option of
some client's (a key, an address) leaves for wherever the call goes. `extra_body` is the door for all the rest.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

from routekit.errors import InvalidInputError
from routekit.types.sending import LIMITS
from routekit.types.suggest import closest

CHAT = frozenset(
    {"audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs", "max_completion_tokens",
     "max_tokens", "modalities", "moderation", "n", "parallel_tool_calls", "prediction", "presence_penalty",
     "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "reasoning_effort", "response_format",
     "safety_identifier", "seed", "service_tier", "stop", "store", "stream_options", "temperature", "tool_choice",
     "top_logprobs", "top_p", "user", "verbosity", "web_search_options"}
)  # fmt: skip
"""Parameters of Chat Completions, as openai-python 2.8 has them in ``chat.completions.create``."""

VENDORS: Mapping[str, tuple[str, ...]] = {
    "several": (
        "top_k", "top_a", "min_p", "repetition_penalty", "length_penalty", "min_tokens", "best_of", "echo",
        "top_n_tokens", "max_new_tokens", "max_output_tokens", "max_length", "num_return_sequences", "candidate_count",
        "ignore_eos",
        "documents", "reasoning", "thinking", "thinking_budget", "cache_control", "response_schema", "suffix",
    ),
    "vLLM, SGLang": (
        "add_generation_prompt", "add_special_tokens", "allowed_token_ids", "bad_words", "chat_template",
        "chat_template_kwargs", "continue_final_message", "custom_params", "ebnf", "guided_backend", "guided_choice",
        "guided_decoding_backend", "guided_grammar", "guided_json", "guided_regex", "guided_whitespace_pattern",
        "include_reasoning", "include_stop_str_in_output", "kv_transfer_params", "lora_path", "mm_processor_kwargs",
        "min_new_tokens", "no_stop_trim", "priority", "prompt_logprobs", "regex", "repetition_detection",
        "return_tokens_as_token_ids", "return_token_ids", "separate_reasoning", "skip_special_tokens",
        "spaces_between_special_tokens", "stop_regex", "stop_token_ids", "stream_reasoning", "structural_tag",
        "structured_outputs", "truncate_prompt_tokens", "use_beam_search", "vllm_xargs",
    ),
    "llama.cpp, Ollama": (
        "cache_prompt", "dry_allowed_length", "dry_base", "dry_multiplier", "dry_penalty_last_n",
        "dry_sequence_breakers", "dynatemp_exponent", "dynatemp_range", "format", "grammar", "id_slot", "json_schema",
        "keep_alive", "min_keep", "mirostat", "mirostat_eta", "mirostat_tau", "n_predict", "n_probs", "num_batch",
        "num_ctx", "num_gpu", "num_keep", "num_predict", "num_thread", "options", "penalize_newline",
        "reasoning_format", "repeat_last_n", "repeat_penalty", "samplers", "tfs_z", "think", "typical_p",
        "xtc_probability", "xtc_threshold",
    ),
    "OpenRouter": ("models", "plugins", "preset", "provider", "route", "transforms", "usage"),
    "Anthropic": ("container", "context_management", "inference_geo", "mcp_servers", "output_config", "speed"),
    "Gemini": ("cached_content", "generation_config", "labels", "safety_settings", "speech_config", "thinking_config"),
    "Bedrock": ("additionalModelRequestFields", "guardrailConfig", "performanceConfig", "requestMetadata"),
    "Azure": ("data_sources", "user_security_context"),
    "Groq": ("citation_options", "compound_custom", "disable_tool_validation", "exclude_domains", "include_domains",
             "search_settings"),
    "Mistral": ("prompt_mode", "random_seed", "safe_prompt"),
    "Cohere": ("safety_mode", "strict_tools"),
    "Qwen, Z.ai": ("clear_thinking", "do_sample", "enable_code_interpreter", "enable_search", "enable_thinking",
                   "preserve_thinking", "search_options", "tool_stream", "translation_options",
                   "vl_high_resolution_images"),
    "xAI": ("deferred", "search_parameters"),
    "Perplexity": (
        "disable_search", "enable_search_classifier", "last_updated_after_filter", "last_updated_before_filter",
        "media_response", "return_images", "return_related_questions", "search_after_date_filter",
        "search_before_date_filter", "search_domain_filter", "search_language_filter", "search_mode",
        "search_recency_filter",
    ),
    "Together, Fireworks": (
        "context_length_exceeded_behavior", "perf_metrics_in_response", "prompt_truncate_len", "prompt_truncate_length",
        "raw_output", "safety_model", "speculation",
    ),
}  # fmt: skip
"""What endpoints take beside them, by who documents it (their references, and litellm's lists of them)."""

KNOWN = CHAT.union(*VENDORS.values())
"""Every name that is taken as a parameter. All others belong into `extra_body`."""

NOT_IN_A_BODY = frozenset({"model", "messages", "tools", "input", "stream", "extra_body", "extra_headers"})
"""What the request sets itself, and `extra_body` must not."""

_KEY = 'name the variable that holds the key in the deployment: api_key_env = "MY_API_KEY"'
_ADDRESS = "write it into the deployment as `base_url`"
_HEADERS = "write extra_headers={...} at the call, or `headers` into the deployment"
_QUERY = "write the query into the deployment's `base_url`"
_ATTEMPTS = "attempts are the router's: write [router] max_attempts"
_CLIENT = (
    "routekit has clients of its own: proxies come from HTTP_PROXY and HTTPS_PROXY, certificates from SSL_CERT_FILE, "
    "and a deployment has connect_timeout_s and read_timeout_s"
)
_ELSEWHERE = "other deployments are the router's: write them as [[deployments]], and choose a strategy"
_WHO = "choose the deployment with model=..., and its provider in [[deployments]]"
_OBSERVER = "write an observer as [[observers]]"
_PLACE = "it belongs to the deployment's options"

MEANT: Mapping[str, str] = {
    **dict.fromkeys(("api_key", "openai_api_key", "key", "token", "azure_ad_token", "azure_ad_token_provider",
                     "admin_api_key", "webhook_secret", "credentials", "workload_identity"), _KEY),
    **dict.fromkeys(("base_url", "api_base", "openai_api_base", "azure_endpoint", "endpoint", "url", "host",
                     "websocket_base_url"), _ADDRESS),
    **dict.fromkeys(("organization", "openai_organization", "project"), "write `organization`, or a header of "
                    "`headers`, into the deployment"),
    **dict.fromkeys(("default_headers", "headers"), _HEADERS),
    **dict.fromkeys(("extra_query", "default_query"), _QUERY),
    **dict.fromkeys(("max_retries", "num_retries", "retries", "retry_policy", "retry_strategy"), _ATTEMPTS),
    **dict.fromkeys(("http_client", "http_async_client", "async_client", "client", "transport", "proxy", "proxies",
                     "openai_proxy", "verify", "ssl_verify", "cert", "http_socket_options", "shared_session", "limits",
                     "trust_env", "follow_redirects"), _CLIENT),
    **dict.fromkeys(("fallbacks", "context_window_fallbacks", "context_window_fallback_dict", "default_fallbacks",
                     "model_list", "max_fallbacks"), _ELSEWHERE),
    **dict.fromkeys(("custom_llm_provider", "llm_provider", "model_provider", "deployment_id", "azure_deployment",
                     "engine", "deployment"), _WHO),
    **dict.fromkeys(("callbacks", "success_callback", "failure_callback", "logger_fn"), _OBSERVER),
    **dict.fromkeys(("api_version", "region_name", "drop_params", "rename_params", "additional_drop_params",
                     "output_limit_param"), _PLACE),
    **dict.fromkeys(("prompt", "input", "contents", "messages"), "messages are the first argument"),
    **dict.fromkeys(("system_prompt", "system_instruction", "system_message", "instructions", "developer"),
                    "write system=..., or a message with the role system"),
    **dict.fromkeys(("mock_response", "mock_timeout"),
                    "to answer without a provider, use routekit.testing.ScriptedProvider"),
    **dict.fromkeys(("caching", "cache_key", "cache_options"), 'write cache="use", "bypass", "refresh" or "only"'),
    **dict.fromkeys(("stream_timeout", "first_token_timeout"), "write [reliability] first_token_s"),
    "read_timeout": "write `read_timeout_s` into the deployment",
    "connect_timeout": "write `connect_timeout_s` into the deployment",
    "stream": "use Router.stream() or Router.astream() for streams, and complete() or acomplete() for whole answers",
    "stream_usage": "leave it out: usage is asked for at the end of every stream",
    "max_budget": "write max_cost_usd=...",
    "deadline": "write deadline_s=...",
}  # fmt: skip
"""Options of clients (openai's, litellm's, LangChain's) that people pass to a call, and what to write instead."""


def refuse_unknown(params: Iterable[str], arguments: Iterable[str]) -> None:
    """Names of a call that are neither arguments nor parameters end it.

    Raises:
        InvalidInputError: with what to write instead. Values are not in it: they may be keys.
    """
    for name in params:
        if name not in KNOWN:
            raise InvalidInputError(_unknown(name, tuple(arguments)))


def spread(params: dict[str, Any]) -> None:
    """Parameters that stand in `extra_body` become parameters, for routing, budgets and caches read them.

    What is given beside `extra_body` counts. The rest stays in there, and is merged into the body that leaves.

    >>> params = {"top_p": 1, "extra_body": {"n": 2, "top_p": 0, "odd": 1}}
    >>> spread(params); params
    {'top_p': 1, 'n': 2, 'extra_body': {'odd': 1}}

    Raises:
        InvalidInputError: it is no dictionary, or sets what the request sets itself.
    """
    extra = params.pop("extra_body")
    if extra is None:
        return
    if not isinstance(extra, Mapping):
        raise InvalidInputError(
            f"extra_body must be a dictionary of what is added to the body; got {type(extra).__name__}"
        )
    limited = any(params.get(name) is not None for name in LIMITS)
    rest: dict[str, Any] = {}
    for name, value in extra.items():
        if not isinstance(name, str):
            raise InvalidInputError(f"extra_body: a name must be a text; got {type(name).__name__}")
        if name in NOT_IN_A_BODY:
            raise InvalidInputError(
                f"extra_body must not hold {name!r}: it is an argument of its own; pass it beside extra_body"
            )
        if limited and name in LIMITS:
            continue
        if name in KNOWN:
            params.setdefault(name, value)
        else:
            rest[name] = value
    if rest:
        params["extra_body"] = rest


@functools.lru_cache(maxsize=1024)
def _unknown(name: str, arguments: tuple[str, ...]) -> str:
    shown = repr(name if len(name) <= 60 else f"{name[:57]}...")
    if (instead := MEANT.get(name)) is not None:
        return f"{shown} is no argument of a call; {instead}"
    near = closest(name, [*arguments, *KNOWN, *MEANT], cutoff=0.75)
    if near and near in MEANT:
        return f"{shown} is no argument of a call; {MEANT[near]}"
    if near:
        return f"{shown} is no argument; did you mean {near!r}?"
    return (
        f"{shown} is neither an argument nor a parameter that is known; what an endpoint of yours takes "
        f"goes into extra_body={{{shown}: ...}}"
    )
