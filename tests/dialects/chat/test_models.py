"""What a model's name tells, and the lists that clients ask for."""

from __future__ import annotations

import json

import pytest
from openai.types import Model
from tests.dialects.chat.sdk import client

from ds2api.dialects.chat import DIALECT
from ds2api.dialects.chat.flavours import PLAIN, flavour_of
from ds2api.dialects.chat.models import Capabilities, capabilities_of
from ds2api.dialects.contract import ModelInfo, Target

MODELS = [ModelInfo("gpt-x", "openai", 5), ModelInfo("claude-x", "anthropic")]


def test_sdk_reads_the_list() -> None:
    with client(200, {"content-type": "application/json"}, DIALECT.write_models(MODELS, {}, "")) as sdk:
        assert [(one.id, one.owned_by, one.created) for one in sdk.models.list()] == [
            ("gpt-x", "openai", 5),
            ("claude-x", "anthropic", 0),
        ]


def test_one_model_is_written_alone() -> None:
    assert Model.model_validate(json.loads(DIALECT.write_model(MODELS[0])), strict=True).id == "gpt-x"


@pytest.mark.parametrize(
    "name", ["o3-mini", "openai/o3-mini-2025-01-31", "O3-MINI", "azure/openai/o3-mini", "ft:o3-mini:acme::1"]
)
def test_r070_prefixes_dates_and_case_hide_nothing(name: str) -> None:
    """R070."""
    assert capabilities_of(name) == capabilities_of("o3-mini")
    assert capabilities_of(name).max_completion_tokens


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gpt-4o", (False, True, ())), ("gpt-5-mini", (True, False, ("minimal", "low", "medium", "high"))),
        ("gpt-5-chat-latest", (True, True, ())), ("gpt-5.1", (True, False, ("none", "low", "medium", "high"))),
        ("o1-preview", (True, False, ())), ("llama-3.3", (False, True, None)), ("olmo-2", (False, True, None)),
    ],
)  # fmt: skip
def test_family_is_known_by_name(name: str, expected: tuple[bool, bool, tuple[str, ...] | None]) -> None:
    known = capabilities_of(name)
    assert (known.max_completion_tokens, known.sampling, known.efforts) == expected


def test_operator_knows_better() -> None:
    assert capabilities_of("x", {"efforts": ["low"], "stop": False, "unrelated": 1}) == Capabilities(
        ("low",), stop=False
    )


def test_unknown_flavour_is_plain_chat() -> None:
    assert flavour_of("whoever") is flavour_of("") is PLAIN


@pytest.mark.parametrize("name", ["openai", "azure", "deepseek", "openrouter", "groq", "mistral", "vllm", "ollama"])
def test_every_flavour_is_a_row(name: str) -> None:
    flavour = flavour_of(name)
    assert flavour.name == name
    assert not flavour.refused & flavour.understood


def test_headers_of_the_client_that_are_relayed() -> None:
    headers = {
        "openai-beta": "x",
        "authorization": "Bearer k",
        "cookie": "c",
        "http-referer": "r",
        "openai-organization": "o",
    }
    assert DIALECT.relay_headers(headers, Target("p", "m")) == [("openai-beta", "x")]
    assert DIALECT.relay_headers(headers, Target("p", "m", "openrouter")) == [
        ("openai-beta", "x"),
        ("http-referer", "r"),
    ]
