from __future__ import annotations

import pytest

from routekit.errors import ConfigError
from routekit.plugin import refuse_secrets_in_url
from routekit.router import Router

SECRETS = [
    "https://user@x/v1", "https://:pw@x/v1", "redis://TOKEN@x/0", "redis://x/0?password=hush", "https://x/v1?api_key=hush",
    "https://x/v1?API-Key=", "https://x/v1?a=b&sig=hush", "https://x/v1?access_token=hush",
]  # fmt: skip


@pytest.mark.parametrize("url", SECRETS)
def test_a_secret_in_an_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match=r"must not hold .*; name it in url_env") as caught:
        refuse_secrets_in_url(url, "name it in url_env")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://x/v1", "https://x/v1?api-version=2024-06-01", "redis://x:6379/0?health=1"])
def test_others_are_handed_back(url: str) -> None:
    assert refuse_secrets_in_url(url, "") == url


@pytest.mark.parametrize("options", [
    {"provider": "openai-compatible", "base_url": "https://x/v1?api_key=hush-hush"},
    {"provider": "litellm", "base_url": "https://x/v1?api_key=hush-hush"},
    {"provider": "litellm", "api_base": "https://u:hush-hush@x/v1"},
    {"provider": "openai-compatible", "base_url": "https://x/v1", "organization": "a\r\nhush-hush: b"},
    {"provider": "openai-compatible", "base_url": "https://x/v1", "read_timeout_s": float("inf")},
])  # fmt: skip
def test_the_configuration_refuses_them_with_the_key(options: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        Router.from_dict({"deployments": [{"name": "a", "model": "m", **options}]})
    assert "deployments.0." in str(caught.value)
    assert "api_key=hush" not in str(caught.value)


@pytest.mark.parametrize("table", [{"router": {"deadline_s": float("inf")}}, {"cache": {"ttl_s": float("inf")}}])
def test_an_infinite_number_is_refused_with_its_key(table: dict[str, dict[str, float]]) -> None:
    deployments = [{"name": "a", "provider": "openai-compatible", "model": "m", "base_url": "https://x/v1"}]
    with pytest.raises(ConfigError, match=r"deadline_s|ttl_s"):
        Router.from_dict({"deployments": deployments, **table})
