"""From the name that a client says to the places that may serve it."""

from __future__ import annotations

import pytest

from ds2api.gateway.callers import ANONYMOUS, Caller
from ds2api.gateway.providers import Provider, endpoint
from ds2api.gateway.routes import Route, Routes
from ds2api.universal.errors import Kind, Problem

PROVIDERS = {
    "openai": Provider("openai", {"chat": endpoint("chat", "https://o")}, {}, ("gpt-*",)),
    "anthropic": Provider("anthropic", {"messages": endpoint("messages", "https://a")}, {}, ("claude-*",)),
    "local": Provider("local", {"chat": endpoint("chat", "http://l")}, {}),
}
KNOWN = {"openai": ["gpt-5", "gpt-5-mini"], "anthropic": ["claude-opus-5"], "local": ["qwen"]}


def routes(*table: Route) -> Routes:
    return Routes(PROVIDERS, table, lambda provider: KNOWN[provider])


def places(found: Routes, model: str, caller: Caller = ANONYMOUS) -> list[str]:
    return [f"{place.provider.name}/{place.model}" for place in found.resolve(model, caller)]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-4.1", ["openai/gpt-4.1"]),
        ("fast", ["openai/gpt-5-mini", "anthropic/claude-haiku-4-5"]),
        ("claude-opus-5", ["anthropic/claude-opus-5"]),
        ("claude-3-special", ["local/claude-3-special"]),  # the longer pattern wins
        ("mine/wen", ["local/qwen"]),
    ],
)
def test_exact_name_then_longest_pattern(model: str, expected: list[str]) -> None:
    table = routes(
        Route("gpt-4.1", ("openai",)),
        Route("fast", ("openai/gpt-5-mini", "anthropic/claude-haiku-4-5")),
        Route("claude-*", ("anthropic/*",)),
        Route("claude-3-*", ("local/*",)),
        Route("mine/*", ("local/q*",)),
    )
    assert places(table, model) == expected


def test_star_is_the_whole_name_alone_and_the_matched_part_within_a_name() -> None:
    table = routes(Route("my-*", ("openai/gpt-*",)), Route("claude-*", ("anthropic/*",)))
    assert places(table, "my-5-mini") == ["openai/gpt-5-mini"]
    assert places(table, "claude-x") == ["anthropic/claude-x"]


def test_a_tag_that_says_nothing_may_be_there_or_not() -> None:
    """R173: Ollama's clients add ":latest", and its servers list it. A name that is there as it is wins."""
    table = routes(Route("qwen", ("local",)), Route("llama:latest", ("local",)), Route("qwen:7b", ("local/small",)))
    assert places(table, "qwen:latest") == ["local/qwen"]
    assert places(table, "llama") == ["local/llama:latest"]
    assert places(table, "qwen:7b") == ["local/small"]
    assert places(routes(), "qwen:latest") == ["local/qwen"]
    with pytest.raises(Problem):
        table.resolve("other:latest", ANONYMOUS)
    with pytest.raises(Problem):
        table.resolve("qwen:latest", Caller("alice", models=("llama*",)))


def test_without_a_table_names_find_their_own_provider() -> None:
    free = routes()
    assert places(free, "gpt-99") == ["openai/gpt-99"]
    assert places(free, "claude-99") == ["anthropic/claude-99"]
    assert places(free, "qwen") == ["local/qwen"]
    assert places(free, "local/gpt-5") == ["local/gpt-5"]


@pytest.mark.parametrize("model", ["gpt-5-mni", "gtp-5-mini", "gpt-5-minii"])
def test_unknown_name_is_told_the_nearest(model: str) -> None:
    table = routes(Route("gpt-5-mini", ("openai",)), Route("claude-opus-5", ("anthropic",)))
    with pytest.raises(Problem, match=f"'{model}' is not known.*Did you mean 'gpt-5-mini'") as caught:
        table.resolve(model, ANONYMOUS)
    assert (caught.value.error.kind, caught.value.error.param) == (Kind.MODEL_NOT_FOUND, "model")


def test_caller_sees_and_may_use_only_its_own_models() -> None:
    table = routes(Route("gpt-5", ("openai",)), Route("claude-*", ("anthropic/*",)))
    guest = Caller("guest", models=("claude-*",))
    assert [name for name, _ in table.names(guest)] == ["claude-opus-5"]
    with pytest.raises(Problem, match="'gpt-5' is not known"):
        table.resolve("gpt-5", guest)
    assert places(table, "claude-opus-5", guest) == ["anthropic/claude-opus-5"]


def test_long_wrong_name_is_shortened_in_the_answer() -> None:
    with pytest.raises(Problem) as caught:
        routes(Route("m", ("openai",))).resolve("x" * 5000, ANONYMOUS)
    assert len(str(caught.value)) < 300


def test_resolved_names_are_remembered_within_bounds() -> None:
    """They come from clients: many, or as long as a body may be."""
    table = routes(Route("claude-*", ("anthropic/*",)))
    mine = Caller("c", models=("claude-3*",))
    for number in range(1_500):
        assert places(table, f"claude-{number}") == [f"anthropic/claude-{number}"]
    assert places(table, "claude-" + "x" * 1_000_000) == ["anthropic/claude-" + "x" * 1_000_000]
    assert len(table._resolved_before) <= 1_024
    assert max(len(model) for model, _ in table._resolved_before) < 100
    assert places(table, "claude-7") == ["anthropic/claude-7"]
    with pytest.raises(Problem):  # what one caller may use, another may not
        table.resolve("claude-7", mine)
