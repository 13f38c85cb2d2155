"""Every known provider by its name alone, and base URLs as people write them (R144)."""

from __future__ import annotations

import pytest

import ds2api
from ds2api.dialects.registry import DIALECTS
from ds2api.gateway.presets import PRESETS
from ds2api.gateway.providers import endpoint

KEYED = [{"name": "a", "key": "a-key-for-this-test-only"}]
OWN_URLS = {
    "azure": "https://x.openai.azure.com/openai/v1",
    "foundry": "https://x.services.ai.azure.com/anthropic",
    "bedrock": "https://bedrock-mantle.eu-west-1.api.aws/anthropic",
    "vertex": "https://europe-west1-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/anthropic",
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_needs_a_key_and_no_more(name: str) -> None:
    given = {"accounts": KEYED, **({"base_url": OWN_URLS[name]} if name in OWN_URLS else {})}
    config = ds2api.from_mapping({"providers": {name: given}}, {})
    provider = config.providers[name]
    assert set(provider.endpoints) == set(PRESETS[name].base_urls) <= set(DIALECTS)
    for one in provider.endpoints.values():
        shown = one.credential(next(iter(provider.secrets.values())))
        assert shown, "whoever writes a key down wants it sent"
        assert all(name in ("authorization", "x-api-key", "api-key", "x-goog-api-key") for name, _ in shown)


@pytest.mark.parametrize("name", OWN_URLS)
def test_a_host_with_a_url_for_each_customer_asks_for_it(name: str) -> None:
    with pytest.raises(ds2api.ConfigError, match="base_url: is missing"):
        ds2api.from_mapping({"providers": {name: {"accounts": KEYED}}}, {})


@pytest.mark.parametrize(
    ("dialect", "url", "target"),
    [
        ("chat", "https://h", "/v1/chat/completions"),
        ("chat", "https://h/", "/v1/chat/completions"),
        ("chat", "https://h/v1/", "/v1/chat/completions"),
        ("chat", "https://h/compat/v1", "/compat/v1/chat/completions"),
        ("chat", "https://h/api/paas/v4", "/api/paas/v4/chat/completions"),
        ("chat", "https://x.openai.azure.com/openai/deployments/{model}?api-version=2024-10-21",
         "/openai/deployments/a%2Fm/chat/completions?api-version=2024-10-21"),
        ("gemini", "https://h", "/v1beta/models"),
        ("gemini", "https://h/v1beta", "/v1beta/models"),
        ("ollama", "http://h:11434", "/api/chat"),
        ("ollama", "http://h:11434/api/", "/api/chat"),
        ("ollama", "http://h:11434/v1", "/api/chat"),
    ],
)  # fmt: skip
def test_r144_a_base_url_is_right_however_it_is_written(dialect: str, url: str, target: str) -> None:
    built = endpoint(dialect, url)
    assert built.target(DIALECTS[dialect].generate_path, "a/m") == target


@pytest.mark.parametrize("url", ["https://h/v1/chat/completions", "https://h/v1?key=x", "https://u:p@h/v1", "h/v1"])
def test_r144_what_is_no_base_url_is_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(ValueError, match=r"base URL|http://"):
        endpoint("chat", url)
