"""Texts into vectors: the request and the answer that all embedding APIs share.

One request holds any number of inputs, and the answer one vector for each, in their order. Writers for providers
that take one text a call do not exist here: all of them have a form for many.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ds2api.universal.parts import Extra
from ds2api.universal.usage import Usage

__all__ = ["EmbeddingRequest", "Embeddings"]


@dataclass(slots=True)
class EmbeddingRequest:
    """`inputs` are texts, or token ids where the client counted them out itself (only OpenAI-like servers take those).

    `single`: the input came alone, not as a list. `encoding` is how the client wants its vectors written; "base64" is
    little-endian 32-bit floats. `task` is Gemini's word (``RETRIEVAL_QUERY``). `paths` as in `Request`.
    """

    dialect: str
    model: str
    inputs: list[str | list[int]]
    single: bool = False
    dimensions: int | None = None
    encoding: Literal["float", "base64"] | None = None
    task: str | None = None
    title: str | None = None
    truncate: bool | None = None
    user: str | None = None
    paths: Mapping[str, str] = field(default_factory=dict)
    extra: Extra | None = None

    def path_of(self, name: str) -> str:
        """How the client calls the universal field `name`."""
        return self.paths.get(name, name)


@dataclass(slots=True)
class Embeddings:
    """One vector for each input. `model` is the provider's name of what made them."""

    vectors: list[list[float]]
    model: str | None = None
    usage: Usage | None = None
    extra: Extra | None = None
