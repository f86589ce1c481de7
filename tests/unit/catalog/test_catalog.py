"""The catalogue: what it knows, where it says it knows it from, and what it refuses to guess."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routekit.catalog.catalog import ASSUMED_CAPABILITIES, Catalog
from routekit.catalog.endpoints import KNOWN_ENDPOINTS, deployments_from_env, local_deployments
from routekit.types import CAPABILITIES, Price, Tier

CATALOG = Catalog.load()


def small_map(**entries: dict) -> Catalog:
    return Catalog({name.replace("__", "/"): entry for name, entry in entries.items()}, source="test map")


def chat(vendor: str = "openai", **more: object) -> dict:
    return {
        "litellm_provider": vendor,
        "mode": "chat",
        "input_cost_per_token": 2.5e-07,
        "output_cost_per_token": 2e-06,
        **more,
    }


def test_reads_the_installed_price_map_without_importing_litellm():
    program = (
        "import sys; from routekit.catalog.catalog import Catalog; catalog = Catalog.load();"
        "assert 'entries' not in vars(catalog), 'parsed before it was asked';"
        "model = catalog.lookup('gpt-5-mini'); assert model.price.input > 0; assert Catalog.load() is catalog;"
        "assert 'litellm' not in sys.modules, 'litellm was imported'"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_listed_model_has_exact_figures_and_says_whose_they_are():
    model = CATALOG.lookup("gpt-5-mini")
    assert model is not None
    assert dataclasses.replace(model.price, services=()) == Price.from_usd(
        input="0.25", cached_input="0.025", output="2"
    )
    assert dict(model.price.services)["batch"].output == model.price.output // 2
    assert model.context_window == 272_000
    assert model.max_output == 128_000
    assert {"chat", "streaming", "tools", "json_schema", "vision", "reasoning", "prompt_cache"} <= model.capabilities
    assert set(model.sources) == {"price", "context_window", "max_output", "capabilities"}
    assert all(source.startswith("litellm ") and "price map" in source for source in model.sources.values())
    assert model.price is not None
    assert model.price.source == model.sources["price"]


@pytest.mark.parametrize("spelling", ["gpt-5-mini", "openai/gpt-5-mini"])
def test_the_vendor_may_be_in_the_id_or_not(spelling):
    assert CATALOG.lookup(spelling).price == CATALOG.lookup("gpt-5-mini", "openai").price


def test_a_vendors_own_entry_wins_over_a_namesake():
    catalog = small_map(m=chat(), groq__m=chat("groq", input_cost_per_token=9e-07))
    assert catalog.lookup("m", "groq").price.input == 900_000_000
    assert catalog.lookup("groq/m").price.input == 900_000_000
    assert catalog.lookup("m").price.input == 250_000_000


@pytest.mark.parametrize(
    ("model_id", "provider"),
    [
        ("gpt-5-mini", "groq"),  # another vendor's model of that name
        ("groq/gpt-5-mini", None),  # the segment names somebody who does not sell it
        ("gpt-5-min", None),
        ("gpt-5-mini-turbo", None),
        ("GPT-5-MINI", None),
        ("my-finetune", None),
        ("sample_spec", None),
        ("", None),
        ("/", None),
    ],
)
def test_never_answers_with_a_different_model(model_id, provider):
    assert CATALOG.lookup(model_id, provider) is None


def test_an_unlisted_snapshot_is_priced_like_the_undated_model_and_says_so():
    model = CATALOG.lookup("gpt-5-mini-2031-01-31")
    assert model.id == "gpt-5-mini-2031-01-31"
    assert model.price == CATALOG.lookup("gpt-5-mini").price
    assert "entry 'gpt-5-mini'" in model.sources["price"]
    assert small_map(c=chat("anthropic")).lookup("anthropic/c-20310131").price.output == 2_000_000_000
    assert small_map(c=chat("anthropic")).lookup("anthropic/c@20310131").price.output == 2_000_000_000


def test_a_listed_snapshot_keeps_its_own_price():
    catalog = small_map(**{"m": chat(), "m-2024-05-13": chat(input_cost_per_token=5e-06)})
    assert catalog.lookup("m-2024-05-13").price.input == 5_000_000_000


def test_an_undated_id_is_not_resolved_to_a_snapshot():
    assert small_map(**{"m-2024-05-13": chat()}).lookup("m") is None


def test_a_fine_tune_costs_what_fine_tunes_of_its_base_cost():
    catalog = small_map(**{"ft:m-2024-07-18": chat(), "m": chat(input_cost_per_token=1e-09)})
    assert catalog.lookup("ft:m-2024-07-18:me::abc").price.input == 250_000_000
    assert catalog.lookup("openai/ft:m-2024-07-18:me::abc").price.input == 250_000_000
    assert catalog.lookup("ft:other:me::abc") is None


@given(st.decimals(min_value=0, max_value="0.01", places=12, allow_nan=False))
def test_prices_are_exact_however_the_float_is_written(dollars: Decimal):
    catalog = small_map(m=chat(input_cost_per_token=float(dollars), output_cost_per_token=1e-06))
    exact = Decimal(str(float(dollars))) * 1_000_000 * 1_000_000_000
    found = catalog.lookup("m").price.input
    assert found == int(exact.to_integral_value(rounding="ROUND_CEILING"))
    assert found == int(dollars * 10**15)  # twelve places never need rounding


def test_every_entry_of_the_installed_map_can_be_read():
    for key in CATALOG.entries:
        model = CATALOG.lookup(key)
        assert model is not None, key
        assert model.capabilities <= CAPABILITIES
        assert set(model.sources) >= {"price", "capabilities"}
        if model.price is None:
            assert model.sources["price"].startswith("unknown"), key
    assert len(CATALOG.entries) > 1_000


@pytest.mark.parametrize(
    "costs",
    [
        {"input_cost_per_token": None},
        {"output_cost_per_token": None},
        {"input_cost_per_token": 0, "output_cost_per_token": 0},
        {"input_cost_per_token": "free"},
        {"input_cost_per_token": -1e-06},
        {"input_cost_per_token": float("nan")},
    ],
)
def test_a_price_nobody_published_is_unknown_and_not_zero(costs):
    model = small_map(m=chat(**costs)).lookup("m")
    assert model.price is None
    assert model.sources["price"].startswith("unknown")


def test_models_on_ones_own_machine_may_be_free():
    free = chat("ollama", input_cost_per_token=0, output_cost_per_token=0)
    assert small_map(ollama__m=free).lookup("ollama/m").price == Price(input=0, output=0)


def test_a_cache_write_price_of_zero_is_not_taken_for_a_gift():
    model = small_map(m=chat(cache_creation_input_token_cost=0.0, cache_read_input_token_cost=6e-09)).lookup("m")
    assert model.price.cache_write is None
    assert model.price.cached_input == 6_000_000


def test_prices_by_length_service_and_medium_are_read():
    figures = {
        "input_cost_per_token": 1e-06, "output_cost_per_token": 4e-06, "input_cost_per_token_above_200k_tokens": 2e-06,
        "output_cost_per_token_above_200k_tokens": 6e-06, "cache_read_input_token_cost_above_200k_tokens": 2e-07,
        "input_cost_per_token_batches": 5e-07, "output_cost_per_token_batches": 2e-06,
        "input_cost_per_token_above_200k_tokens_batches": 1e-06, "input_cost_per_token_priority": 2e-06,
        "output_cost_per_token_priority": 8e-06, "input_cost_per_audio_token": 7e-06,
        "output_cost_per_audio_token": 9e-06, "input_cost_per_image_token": 3e-06,
    }  # fmt: skip
    price = small_map(m=chat(**figures)).lookup("m").price
    assert price.tiers == (Tier(above_tokens=200_000, input=2 * 10**9, output=6 * 10**9, cached_input=2 * 10**8),)
    assert (price.audio_input, price.audio_output, price.image_input) == (7 * 10**9, 9 * 10**9, 3 * 10**9)
    services = dict(price.services)
    assert set(services) == {"batch", "priority"}
    assert services["batch"].tiers == (Tier(above_tokens=200_000, input=10**9),)
    assert price.for_request(300_000, "batch").output == 2 * 10**9
    assert price.for_request(10, "priority").input == 2 * 10**9
    assert price.for_request(10, "auto").input == 10**9


def test_prices_of_the_map_have_a_day():
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", CATALOG.lookup("gpt-5-mini").price.as_of)
    assert small_map(m=chat()).lookup("m").price.as_of == ""


def test_embedding_models_embed_and_do_not_chat():
    model = CATALOG.lookup("text-embedding-3-small")
    assert model.capabilities == {"embeddings"}
    assert (model.price.input, model.price.output) == (20_000_000, 0)


def test_an_unknown_model_is_assumed_to_chat_and_has_no_price():
    model = CATALOG.model_for("somebodys-model", provider="openai-compatible", base_url="http://127.0.0.1:1/v1")
    assert model.price is None
    assert model.context_window is None
    assert model.capabilities == ASSUMED_CAPABILITIES
    assert model.sources == {"capabilities": "assumed"}


def test_the_configuration_wins_figure_by_figure():
    price = Price.from_usd(input=1, output=2)
    model = CATALOG.model_for("gpt-5-mini", price=price, capabilities=["chat"], context_window=1_000)
    assert (model.price, model.capabilities, model.context_window) == (price, {"chat"}, 1_000)
    assert model.max_output == 128_000
    assert {key for key, source in model.sources.items() if source == "configuration"} == {
        "price", "capabilities", "context_window",
    }  # fmt: skip
    assert CATALOG.model_for("unheard-of", price=price).sources == {
        "price": "configuration",
        "capabilities": "assumed",
    }


def test_a_known_base_url_says_whose_price_applies():
    groq = CATALOG.model_for("openai/gpt-oss-20b", base_url="https://api.groq.com/openai/v1")
    assert "groq/openai/gpt-oss-20b" in groq.sources["price"]
    assert CATALOG.model_for("gpt-5-mini", base_url="https://api.groq.com/openai/v1").price is None


def test_the_local_model_has_a_notional_price_and_says_so():
    once = CATALOG.model_for("smollm2", provider="local")
    assert once.context_window == 8192
    assert {"chat", "streaming", "tools", "json_schema", "json_object", "logprobs", "embeddings"} == once.capabilities
    assert "notional energy price" in once.sources["price"]
    assert once.price.output == 20_000_000
    five = CATALOG.model_for("smollm2", provider="local", options={"best_of": 5})
    assert five.price.output == 5 * once.price.output
    assert five.price.input == once.price.input, "the prompt is read once for all five"
    assert five.sources["price"].endswith("5 answers written")
    own = CATALOG.model_for("smollm2", provider="local", price=Price(input=0, output=0), options={"best_of": 5})
    assert own.price.is_free
    assert CATALOG.lookup("gpt-5-mini", "local") is None


@pytest.mark.parametrize("endpoint", KNOWN_ENDPOINTS, ids=lambda endpoint: endpoint.vendor)
def test_every_model_offered_without_configuration_is_listed_with_price_and_tools(endpoint):
    names = [table["name"] for table in deployments_from_env({endpoint.env[0]: "k"})]
    assert len(set(names)) == len(names) == len(endpoint.models)
    prices = []
    for model_id in endpoint.models:
        model = CATALOG.model_for(model_id, provider=endpoint.provider, base_url=endpoint.base_url)
        assert model.price is not None, model_id
        assert {"chat", "tools", "json_schema"} <= model.capabilities, model_id
        assert model.context_window, model_id
        prices.append(model.price.input + model.price.output)
    assert prices == sorted(prices), "small before large"


def test_deployments_name_the_variable_and_never_the_key():
    tables = deployments_from_env({"OPENAI_API_KEY": "sk-very-secret", "ANTHROPIC_API_KEY": "sk-ant-secret"})
    assert "secret" not in repr(tables)
    assert {table["api_key_env"] for table in tables} == {"OPENAI_API_KEY", "ANTHROPIC_API_KEY"}
    assert {table["provider"] for table in tables} == {"openai-compatible", "litellm"}
    assert all(("base_url" in table) == (table["provider"] == "openai-compatible") for table in tables)
    assert all(table["tags"] == ["external"] for table in tables)


def test_all_keys_at_once_give_distinct_names():
    names = [t["name"] for t in deployments_from_env({e.env[0]: "k" for e in KNOWN_ENDPOINTS})]
    assert len(names) == len(set(names)) == sum(len(e.models) for e in KNOWN_ENDPOINTS)


def test_the_second_variable_serves_where_the_first_is_missing():
    assert {t["api_key_env"] for t in deployments_from_env({"GOOGLE_API_KEY": "k"})} == {"GOOGLE_API_KEY"}
    both = deployments_from_env({"GOOGLE_API_KEY": "k", "GEMINI_API_KEY": "k"})
    assert {t["api_key_env"] for t in both} == {"GEMINI_API_KEY"}


@pytest.mark.parametrize("env", [{}, {"OPENAI_API_KEY": ""}, {"OPENAI_API_KEY": "  "}, {"PATH": "/bin"}])
def test_without_a_key_the_local_models_serve(env):
    tables = deployments_from_env(env)
    assert tables == local_deployments()
    assert [(t["name"], t.get("options")) for t in tables] == [("smollm2", None), ("smollm2-best-of-5", {"best_of": 5})]
    assert all(t["provider"] == "local" and t["tags"] == ["local"] and "quality" not in t for t in tables)


@pytest.mark.parametrize("name", ["OPENAI_BASE_URL", "OPENAI_API_BASE"])
def test_a_key_for_another_address_goes_there_and_nowhere_else(name: str) -> None:
    tables = deployments_from_env({"OPENAI_API_KEY": "x", name: "http://127.0.0.1:9/v1"})
    assert {table["base_url"] for table in tables} == {"http://127.0.0.1:9/v1"}
