"""Model lists that the real SDK pages through, and what each model's name tells."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import anthropic
import httpx2
import pytest

from ds2api.dialects.contract import ModelInfo
from ds2api.dialects.messages import DIALECT
from ds2api.dialects.messages.capabilities import Capabilities, capabilities_of
from ds2api.universal.errors import Problem

MODELS = [ModelInfo(f"claude-{at}", "o", created=1_700_000_000 if at == 0 else 0) for at in range(45)]


def page(**query: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(DIALECT.write_models(MODELS, query, ""))
    return value


@pytest.mark.parametrize("limit", [1, 7, 20, 45, 1000])
def test_sdk_pages_through_every_model_once(limit: int) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        query = dict(parse_qsl(urlsplit(str(request.url)).query))
        return httpx2.Response(200, json=json.loads(DIALECT.write_models(MODELS, query, "")))

    with anthropic.Anthropic(api_key="k", http_client=httpx2.Client(transport=httpx2.MockTransport(answer))) as sdk:
        found = list(sdk.models.list(limit=limit))
    assert [model.id for model in found] == [model.id for model in MODELS]
    assert found[0].created_at.timestamp() == 1_700_000_000
    assert found[0].type == "model"


def test_pages_say_where_they_are() -> None:  # R170
    first = page()
    assert (len(first["data"]), first["has_more"], first["first_id"], first["last_id"]) == (
        20,
        True,
        "claude-0",
        "claude-19",
    )
    last = page(after_id="claude-39")
    assert (len(last["data"]), last["has_more"], last["last_id"]) == (5, False, "claude-44")
    before = page(before_id="claude-3", limit="2")
    assert ([one["id"] for one in before["data"]], before["has_more"]) == (["claude-1", "claude-2"], True)
    assert page(limit="1000")["has_more"] is False
    empty = json.loads(DIALECT.write_models([], {}, ""))
    assert empty == {"data": [], "has_more": False, "first_id": None, "last_id": None}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "1001"),
        ("limit", "x"),
        ("limit", "99999999999"),
        ("after_id", "no"),
        ("before_id", "no"),
    ],
)
def test_page_that_means_nothing_is_refused(name: str, value: str) -> None:
    with pytest.raises(Problem) as raised:
        page(**{name: value})
    assert raised.value.error.param == name


def test_one_model_has_the_shape_of_an_entry() -> None:
    entry = json.loads(DIALECT.write_model(ModelInfo("m", "o", 0, "The Model")))
    assert entry == {
        "type": "model",
        "id": "m",
        "display_name": "The Model",
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": "active",
    }


@pytest.mark.parametrize(
    "name",
    [
        "claude-sonnet-4-5",
        "claude-sonnet-4-5-20250929",
        "claude-sonnet-4-5-latest",
        "claude-sonnet-4.5",
        "anthropic/claude-sonnet-4-5",
        "anthropic/claude-sonnet-4.5",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "claude-sonnet-4-5@20250929",
        "publishers/anthropic/models/claude-sonnet-4-5@20250929",
        "Claude-Sonnet-4-5",
    ],
)
def test_r056_name_is_known_in_every_dress(name: str) -> None:  # R056
    assert capabilities_of(name) == capabilities_of("claude-sonnet-4-5")
    assert capabilities_of(name).thinking == {"enabled", "disabled"}


@pytest.mark.parametrize(
    ("name", "sampling", "thinking", "efforts", "mid_system", "prefill", "limit"),
    [
        ("claude-3-opus-latest", "all", "", 0, False, True, 4_096),
        ("claude-3-5-haiku-20241022", "all", "", 0, False, True, 8_192),
        ("claude-3-7-sonnet-20250219", "all", "de", 0, False, True, 64_000),
        ("claude-sonnet-4-0", "all", "de", 0, False, True, 64_000),
        ("claude-opus-4-1", "one", "de", 0, False, True, 32_000),
        ("claude-opus-4-20250514", "all", "de", 0, False, True, 32_000),
        ("claude-opus-4-5", "one", "de", 3, False, True, 64_000),
        ("claude-opus-4-6", "one", "ade", 4, False, False, 128_000),
        ("claude-sonnet-4-6", "one", "ade", 4, False, False, 64_000),
        ("claude-opus-4-7", "none", "ad", 5, False, False, 128_000),
        ("claude-opus-4-8", "none", "ad", 5, True, False, 128_000),
        ("claude-sonnet-5-5", "none", "ad", 5, True, False, 64_000),
        ("claude-fable-5-1", "none", "a", 5, True, False, 64_000),
        ("claude-mythos-preview", "none", "a", 5, True, False, 64_000),
        ("gpt-x", "none", "a", 5, False, False, 32_000),
    ],
)
def test_name_tells_what_the_model_takes(
    name: str, sampling: str, thinking: str, efforts: int, mid_system: bool, prefill: bool, limit: int
) -> None:
    found = capabilities_of(name)
    assert (found.sampling, found.mid_system, found.prefill, found.max_output_tokens) == (
        sampling,
        mid_system,
        prefill,
        limit,
    )
    assert "".join(sorted(one[0] for one in found.thinking)) == thinking
    assert len(found.efforts) == efforts
    assert found.is_known is (name != "gpt-x")


def test_target_overrules_the_name() -> None:
    found = capabilities_of(
        "gpt-x", {"sampling": "all", "thinking": ["enabled"], "efforts": ["low"], "prefill": True, "other": 1}
    )
    assert found == Capabilities("all", frozenset({"enabled"}), ("low",), prefill=True)
