"""How many tokens a request will cost, guessed before it is sent: for reservations and for `message_start`.

A guess, not a count: four bytes of UTF-8 a token for Latin text, which is within 15 % for English prose of the
tokenizers of OpenAI and Anthropic; the pool corrects it per model by the real usage (`accounts`).
"""

from __future__ import annotations

__all__ = ["BYTES_PER_TOKEN", "TOKENS_PER_MEDIA", "input_tokens"]

# OpenAI's rule of thumb is 4 characters (help.openai.com 4936856); `pool-model.md` §3 says that it is also
# what their rate limiter uses at admission.
BYTES_PER_TOKEN = 4
# One image of 1024 × 1024 costs 765 tokens at OpenAI (high detail) and about 1,400 at Anthropic (w·h/750).
TOKENS_PER_MEDIA = 1000


def input_tokens(text_bytes: int, media_count: int = 0) -> int:
    """The guess for `text_bytes` of text in the whole request and `media_count` images or files. At least 1."""
    return max(1, -(-text_bytes // BYTES_PER_TOKEN) + media_count * TOKENS_PER_MEDIA)
