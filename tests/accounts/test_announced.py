"""Headers about limits, in every spelling that providers use, and hostile ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2api.accounts.announced import Dimension, duration_s, read_announced

WALL = 1_760_000_000.0  # 2025-10-09T08:53:20Z


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12", 12.0),
        ("1.5", 1.5),
        ("12ms", 0.012),
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("1h2m3s", 3723.0),
        ("2025-10-09T08:54:20Z", 60.0),
        ("Thu, 09 Oct 2025 08:54:20 GMT", 60.0),
        ("2025-10-09T08:00:00Z", 0.0),  # already over
        ("99999999", 86_400.0),
        ("-3", None),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("", None),
        ("1s garbage", None),
    ],
)
def test_durations_in_all_forms(text: str, seconds: float | None) -> None:
    found = duration_s(text, WALL)
    assert found == seconds if seconds is None else found == pytest.approx(seconds)


@given(st.text(max_size=40))
def test_no_header_value_can_break_the_reader(text: str) -> None:
    found = duration_s(text, WALL)
    assert found is None or 0 <= found <= 86_400


def test_openai_and_anthropic_spellings() -> None:
    openai = read_announced(
        {"x-ratelimit-limit-tokens": "30000", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"},
        WALL,
    )
    assert openai.dimensions == {"tokens": Dimension(30000, 0, 360.0)}
    assert openai.exhausted_s == 360.0
    anthropic = read_announced(
        {
            "anthropic-ratelimit-input-tokens-limit": "50000",
            "anthropic-ratelimit-input-tokens-remaining": "49000",
            "anthropic-ratelimit-input-tokens-reset": "2025-10-09T08:53:30Z",
            "anthropic-organization-id": "org-1",
            "retry-after": "7",
        },
        WALL,
    )
    assert anthropic.dimensions["input-tokens"] == Dimension(50000, 49000, 10.0)
    assert (anthropic.retry_after_s, anthropic.organisation, anthropic.exhausted_s) == (7.0, "org-1", None)


def test_milliseconds_win_over_seconds() -> None:
    assert read_announced({"retry-after": "1", "retry-after-ms": "250"}, WALL).retry_after_s == 0.25


def test_azures_minus_one_is_unknown() -> None:
    found = read_announced({"x-ratelimit-remaining-requests": "-1", "x-ratelimit-limit-requests": "10"}, WALL)
    assert found.dimensions["requests"] == Dimension(10, None, None)
