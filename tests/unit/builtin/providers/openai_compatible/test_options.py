"""What an endpoint's options come to on this machine: addresses and proxies."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from routekit.builtin.providers.openai_compatible.options import OpenAICompatibleOptions, resolve
from routekit.errors import ProviderSetupError


def chat_url(base_url: str, **env: str) -> str:
    return resolve(OpenAICompatibleOptions(base_url=base_url), env).chat_url


@pytest.mark.parametrize("tail", ["", "/", "/chat/completions", "/chat/completions/", "/embeddings", "/responses"])
def test_an_address_that_was_pasted_whole_is_understood(tail: str) -> None:
    assert chat_url(f"http://h/v1{tail}") == "http://h/v1/chat/completions"
    assert chat_url("$GATEWAY", GATEWAY=f"http://h/v1{tail}") == "http://h/v1/chat/completions"


@pytest.mark.parametrize("env", [{}, {"GATEWAY": " "}, {"GATEWAY": "not an address"}, {"GATEWAY": "http://u:p@h/v1"}])
def test_a_variable_without_an_address_is_said_to_be(env: dict[str, str]) -> None:
    with pytest.raises(ProviderSetupError, match="GATEWAY") as caught:
        chat_url("$GATEWAY", **env)
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["$", "$A-B", "$A/v1", "ftp://h", "http://u:p@h/v1", "http://h/v1?api_key=SECRET", "h/v1"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValidationError) as caught:
        OpenAICompatibleOptions(base_url=address)
    assert "SECRET" not in str(caught.value)
    assert "u:p" not in str(caught.value)


def test_a_query_that_is_no_secret_stays() -> None:
    assert chat_url("http://h/v1?api-version=2") == "http://h/v1/chat/completions?api-version=2"


@pytest.mark.parametrize("name", ["ALL_PROXY", "HTTP_PROXY", "http_proxy", "all_proxy"])
@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "socks5h://u:p@h:1", "SOCKS4://h:1"])
def test_a_proxy_that_is_not_spoken_is_refused_aloud(name: str, proxy: str) -> None:
    with pytest.raises(ProviderSetupError, match=r"(?i)socks.*NO_PROXY") as caught:
        chat_url("http://h/v1", **{name: proxy})
    assert "u:p" not in str(caught.value)
    assert chat_url("http://h/v1", **{name: proxy, "NO_PROXY": "h"})
    assert chat_url("http://127.0.0.1/v1", **{name: proxy})


def test_a_proxy_without_a_scheme_is_an_http_one() -> None:
    assert resolve(OpenAICompatibleOptions(base_url="http://h/v1"), {"HTTP_PROXY": "p:3128"}).proxy == "http://p:3128"


def test_the_output_limit_is_named_for_where_it_goes() -> None:
    options = OpenAICompatibleOptions(base_url="$WHERE")
    assert options.output_limit_name({"WHERE": "https://api.openai.com/v1"}) == "max_completion_tokens"
    assert options.output_limit_name({"WHERE": "http://h/v1"}) is None
    assert options.output_limit_name({}) is None
