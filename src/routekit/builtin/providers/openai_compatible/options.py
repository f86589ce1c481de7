"""One OpenAI-compatible endpoint: its options, and what they come to on this machine."""

from __future__ import annotations

import os
import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import ConfigDict, Field, field_validator

from routekit.builtin.providers.errors import Redact, redactor
from routekit.errors import ProviderSetupError
from routekit.plugin import Options, refuse_secrets_in_url
from routekit.types.headers import RESERVED, CallHeaders, can_be_sent

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_LOOKS_LIKE_A_KEY = re.compile(r"(sk-|sk_|gsk_|xai-|hf_|AIza|Bearer )|[A-Za-z]*[0-9a-f]{32,}\Z")
_SECRET_HEADER = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)
_SECRET_LENGTH = 6
"""Shorter values of headers are no secrets, and stand in many texts by chance."""

_PATHS = ("/chat/completions", "/embeddings", "/responses", "/completions")
_OWN_KEYS = frozenset({"model", "messages", "tools", "stream", "input"})


class OpenAICompatibleOptions(Options):
    """Where the endpoint is and how to talk to it."""

    model_config = ConfigDict(hide_input_in_errors=True)

    base_url: str = Field(
        description='The address up to and with the version, such as https://api.openai.com/v1; or "$NAME", a variable.'
    )
    api_key_env: str | None = Field(
        default=None, description="The name of the environment variable that holds the key. None: no key is sent."
    )
    headers: dict[str, str] = Field(
        default_factory=dict,
        description='More headers. A value "$NAME" is read from the environment, and secret ones must be.',
    )
    organization: str | None = Field(default=None, description="Sent as OpenAI-Organization.")
    extra_body: dict[str, Any] = Field(
        default_factory=dict, description="Parameters for every request; a call's own ones replace them."
    )
    connect_timeout_s: float = Field(default=5.0, gt=0, description="For connecting, TLS included.")
    read_timeout_s: float = Field(
        default=600.0,
        gt=0,
        description="The longest silence in a stream, and the longest wait for an answer where a call has no limit.",
    )
    output_limit_param: Literal["max_tokens", "max_completion_tokens"] | None = Field(
        default=None,
        description="What the limit on output tokens is sent as, under either name it was given. None: "
        "max_completion_tokens at api.openai.com, whose newer models refuse max_tokens; elsewhere as it was given.",
    )
    max_response_bytes: int = Field(
        default=32 * 2**20,
        gt=0,
        description="The largest body, or event of a stream, after decompression; a stream: 8 times as much.",
    )
    stream_usage: bool = Field(
        default=True, description="Ask for token counts at the end of streams; false for endpoints that refuse it."
    )
    max_connections: int = Field(default=256, gt=0, description="Connections at once, per event loop and for threads.")

    def address(self, env: Mapping[str, str]) -> str:
        """The address, read from the environment where `base_url` names a variable.

        Raises:
            ProviderSetupError: the variable is not set, or holds no address.
        """
        if not self.base_url.startswith("$"):
            return self.base_url
        name = self.base_url[1:]
        value = env.get(name, "").strip()
        if not value:
            raise ProviderSetupError(
                f"the environment variable {name} (named in base_url) is not set; set it to the endpoint's address"
            )
        problem = ""
        try:
            return _address(value)
        except ValueError as error:
            problem = str(error)
        raise ProviderSetupError(f"the environment variable {name} (named in base_url) {problem}")

    def output_limit_name(self, env: Mapping[str, str]) -> str | None:
        """The parameter that limits output tokens here; None: as the caller named it."""
        at_openai = "api.openai.com" in self.base_url or self.base_url.startswith("$")
        if at_openai:
            variable = self.base_url[1:] if self.base_url.startswith("$") else ""
            at_openai = urlsplit(env.get(variable, self.base_url)).hostname == "api.openai.com"
        return self.output_limit_param or ("max_completion_tokens" if at_openai else None)

    @field_validator("base_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        value = value.strip()
        if value.startswith("$"):
            if not _NAME.match(value[1:]):
                raise ValueError('names a variable as "$NAME", with nothing around it')
            return value
        return _address(value)

    @field_validator("api_key_env")
    @classmethod
    def _is_name(cls, value: str | None) -> str | None:
        if value is not None and (_LOOKS_LIKE_A_KEY.match(value) or not _NAME.match(value)):
            raise ValueError(
                "must be the name of an environment variable, such as OPENAI_API_KEY; a key itself does not belong "
                "in a configuration file"
            )
        return value

    @field_validator("organization")
    @classmethod
    def _is_header(cls, value: str | None) -> str | None:
        if value is not None and not can_be_sent("OpenAI-Organization", value):
            raise ValueError("cannot be sent in a header: it has characters that HTTP forbids")
        return value

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, value: dict[str, str]) -> dict[str, str]:
        for name, content in value.items():
            if not can_be_sent(name, content):
                raise ValueError(f"header {name!r} cannot be sent: a name or value has characters that HTTP forbids")
            if _SECRET_HEADER.search(name) and not (content.startswith("$") and _NAME.match(content[1:])):
                raise ValueError(
                    f'the value of header {name!r} is a secret: write "$VARIABLE" to read it from the environment'
                )
        return value

    @field_validator("extra_body")
    @classmethod
    def _leaves_ours_alone(cls, value: dict[str, Any]) -> dict[str, Any]:
        taken = sorted(_OWN_KEYS & value.keys())
        if taken:
            raise ValueError(f"may not set {', '.join(taken)}: the request sets them")
        return value


def _address(value: str) -> str:
    """An address up to the version: what is pasted with an API's path behind it is cut there."""
    parts = urlsplit(value)
    if parts.username or parts.password:
        refuse_secrets_in_url(value, "name the key's variable in api_key_env")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http or https address such as https://api.openai.com/v1")
    _ = parts.port  # raises ValueError where it is no port
    refuse_secrets_in_url(value, 'send it as a header: headers = { "api-key" = "$VARIABLE" }')
    path = parts.path.rstrip("/")
    for tail in _PATHS:
        path = path.removesuffix(tail)
    return value if path == parts.path else urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """The options with the environment read in. `headers` and `proxy` may hold secrets: never shown."""

    options: OpenAICompatibleOptions
    chat_url: str
    embeddings_url: str
    headers: Mapping[str, str] = field(repr=False)
    redact: Redact = field(repr=False)
    proxy: str | None = field(default=None, repr=False)


def resolve(options: OpenAICompatibleOptions, env: Mapping[str, str]) -> Endpoint:
    """Reads keys and proxies from the environment.

    Raises:
        ProviderSetupError: a variable that is named in the options is missing or cannot be sent.
    """
    secrets: list[str] = []
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        # Answers are small, and a body that nobody compressed cannot be a decompression bomb.
        "Accept-Encoding": "identity",
        "User-Agent": "routekit",
    }
    if options.api_key_env:
        secrets.append(_secret(env, options.api_key_env, "api_key_env"))
        headers["Authorization"] = f"Bearer {secrets[0]}"
    if options.organization:
        headers["OpenAI-Organization"] = options.organization
    for name, value in options.headers.items():
        if value.startswith("$"):
            value = _secret(env, value[1:], f"headers.{name}")
            secrets.append(value)
        headers[name] = value
    parts = urlsplit(options.address(env))
    path = parts.path.rstrip("/")

    def at(tail: str) -> str:
        return urlunsplit((parts.scheme, parts.netloc, path + tail, parts.query, ""))

    return Endpoint(
        options=options,
        chat_url=at("/chat/completions"),
        embeddings_url=at("/embeddings"),
        headers=headers,
        redact=redactor(secrets),
        proxy=_proxy(parts.scheme, parts.hostname or "", env),
    )


def headers_of_call(own: Mapping[str, str], given: CallHeaders) -> dict[str, str]:
    """An endpoint's headers with those of a call, which replace them whatever the letters of their names.

    Those that say who asks stay the endpoint's own, wherever the call's come from.
    """
    names = {name.lower(): name for name in own}
    merged = dict(own)
    for name, value in given.items():
        if name.lower() not in RESERVED:
            if (before := names.get(name.lower())) is not None:
                del merged[before]
            merged[name] = value
    return merged


def redaction(endpoint: Endpoint, headers: CallHeaders) -> Redact:
    """What takes the endpoint's secrets out of a text, and what a call's headers hold: that may be one, too."""
    if not headers:
        return endpoint.redact
    of_the_call = redactor(value for value in headers.values() if len(value) >= _SECRET_LENGTH)
    return lambda text: of_the_call(endpoint.redact(text))


def _secret(env: Mapping[str, str], name: str, key: str) -> str:
    value = env.get(name, "").strip()
    if not value:
        raise ProviderSetupError(
            f"the environment variable {name} (named in {key}) is not set; set it to the endpoint's key"
        )
    if any(ord(letter) < 33 or ord(letter) > 126 for letter in value):
        raise ProviderSetupError(
            f"the environment variable {name} (named in {key}) holds spaces or characters that no key has; set it again"
        )
    return value


def _proxy(scheme: str, host: str, env: Mapping[str, str]) -> str | None:
    """The proxy that the usual variables name for this host, read once and not per request."""
    lower = {name.lower(): value for name, value in env.items() if name.lower().endswith("_proxy") and value}
    if "REQUEST_METHOD" in env or os.environ.get("REQUEST_METHOD"):  # in CGI, HTTP_PROXY is a client's header
        lower.pop("http_proxy", None)
    proxy = lower.get(f"{scheme}_proxy") or lower.get("all_proxy")
    if not proxy:
        return None
    # typeshed does not know the second parameter, which keeps the process environment out of it.
    bypass = urllib.request.proxy_bypass_environment(host, {"no": lower.get("no_proxy", "")})  # type: ignore[attr-defined]
    if bypass or host in ("localhost", "127.0.0.1", "::1"):
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    kind = proxy.partition("://")[0].lower()
    if kind not in ("http", "https"):  # passed by in silence, the request would leave where nobody expects it
        raise ProviderSetupError(
            f"the environment names a {kind} proxy for {host}, which is not spoken here: name an http proxy in "
            f"{scheme.upper()}_PROXY, or leave {host} out by NO_PROXY"
        )
    return proxy
