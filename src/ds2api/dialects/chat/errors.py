"""Errors as chat servers say them and chat clients read them: OpenAI's shape (`dialects/openai_errors`)."""

from __future__ import annotations

from ds2api.dialects.openai_errors import error_object, read_chunk_error, read_error, write_error

__all__ = ["error_object", "read_chunk_error", "read_error", "write_error"]
