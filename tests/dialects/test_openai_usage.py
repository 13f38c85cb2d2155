"""OpenAI's totals, taken apart and put together again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2api.dialects.openai_usage import read_usage, written_usage
from ds2api.universal.usage import Usage


def parts(usage: Usage) -> tuple[int | None, ...]:
    return usage.input_uncached, usage.cache_read, usage.cache_write, usage.output_text, usage.output_reasoning


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({}, (None, None, None, None, None)),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, (0, None, None, 0, None)),  # R091
        ({"prompt_tokens": 10, "completion_tokens": 5}, (10, None, None, 5, None)),
        (
            {"prompt_tokens": 1000, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 900, "cache_write_tokens": 90},
             "completion_tokens_details": {"reasoning_tokens": 20}},
            (10, 900, 90, 30, 20),
        ),
        ({"prompt_tokens": 339, "prompt_cache_hit_tokens": 320, "completion_tokens": 92}, (19, 320, None, 92, None)),  # DeepSeek
        # xAI: the reasoning is outside of the completion, and shows in the total.
        (
            {"prompt_tokens": 12, "completion_tokens": 2, "total_tokens": 354, "completion_tokens_details": {"reasoning_tokens": 340}},
            (12, None, None, 2, 340),
        ),
        ({"prompt_tokens": 66, "completion_tokens": 6, "total_tokens": 100}, (66, None, None, 6, 28)),  # Google
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 9}}, (0, 9, None, None, None)),  # never negative
        ({"prompt_tokens": "5", "completion_tokens": True, "prompt_tokens_details": []}, (None, None, None, None, None)),
    ],
)  # fmt: skip
def test_totals_are_taken_apart(block: dict[str, Any], expected: tuple[int | None, ...]) -> None:
    assert parts(read_usage(block, "chat")) == expected


def test_block_goes_back_as_it_came_to_its_own_dialect_only() -> None:
    block = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "cost": 0.1}
    usage = read_usage(block, "chat")
    assert written_usage(usage, "chat") == block
    assert written_usage(usage, "responses") == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def test_r087_caches_are_within_the_total() -> None:
    """R087, R088."""
    assert written_usage(Usage(input_uncached=6, cache_write=1000, cache_read=0, output_text=10), "chat") == {
        "prompt_tokens": 1006, "completion_tokens": 10, "total_tokens": 1016,
        "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 1000},
    }  # fmt: skip


_COUNTS = st.none() | st.integers(0, 10**7)


@given(st.integers(0, 10**7), _COUNTS, _COUNTS, st.integers(0, 10**7), _COUNTS)
def test_counters_survive_the_trip(
    uncached: int, read: int | None, write: int | None, text: int, reasoning: int | None
) -> None:
    usage = Usage(uncached, read, write, output_text=text, output_reasoning=reasoning)
    block = written_usage(usage, "chat")
    assert block["total_tokens"] == block["prompt_tokens"] + block["completion_tokens"]
    assert parts(read_usage(block, "chat")) == parts(usage)
