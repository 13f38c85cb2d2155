"""What looks like a key, an organisation or an inner address is taken out; ordinary words stay."""

from __future__ import annotations

import pytest

from ds2api.dialects.masking import masked


@pytest.mark.parametrize(
    "secret",
    [
        "sk-abcd1234", "sk-proj-AbC_123xyz", "sk-ant-api03-xyz789", "sk-********abcd", "gsk_abc123DEF", "xai-1234abcd", "AIzaSyA1234567890abc",
        "hf_abcDEF123", "AKIAIOSFODNN7EXAMPLE", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "org-77", "proj_abc", "ya29.a0Af_123x",
        "http://10.0.0.5:8000/v1", "https://192.168.1.9", "http://localhost:8000/x", "http://llm.default.svc.cluster.local/v1",
        "http://db-7.internal/x", "10.0.0.5:8000", "172.20.1.1", "169.254.169.254", "f3b1" * 12,
    ],
)  # fmt: skip
def test_secret_is_masked(secret: str) -> None:
    assert masked(f"bad value {secret} was sent") == "bad value […] was sent"


def test_bearer_token_is_masked_but_its_scheme_stays() -> None:
    assert masked("header 'Authorization: Bearer abc.def123' refused") == "header 'Authorization: Bearer […]' refused"


@pytest.mark.parametrize(
    "text",
    [
        "Invalid 'messages[3].content[0].image_url': expected a URL", "The model `gpt-4o-2024-08-06` does not exist",
        "claude-sonnet-4-5-20250929", "call_abcDEF0123456789abcdef has no result", "see https://platform.openai.com/docs/errors",
        "max_tokens: 128000 > 64000", "version 10.1 of key.name", "task-12 risk-4 disk-3",
    ],
)  # fmt: skip
def test_ordinary_words_stay(text: str) -> None:
    assert masked(text) == text


def test_masking_twice_is_masking_once() -> None:
    once = masked("sk-abcd1234 and org-77 at http://10.0.0.5:8000")
    assert masked(once) == once == "[…] and […] at […]"
