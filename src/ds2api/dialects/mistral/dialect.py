"""The dialect `mistral` (La Plateforme): the doors for clients are functions of this room, those for providers are
`upstream`'s, which is chat, whose flavour "mistral" knows Mistral's servers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from ds2api.dialects.contract import Dialect, Peek, Route, tap_of
from ds2api.dialects.mistral import errors, models, request_in, request_out
from ds2api.dialects.mistral.encoder import MistralEncoder
from ds2api.dialects.mistral.response import write_response
from ds2api.dialects.openai_embeddings import OpenAiEmbedder

__all__ = ["mistral"]


def _relay_path(path: str, model: str) -> str:
    is_fill_in = path.partition("?")[0].rstrip("/").endswith("/fim/completions")
    return "/fim/completions" if is_fill_in else "/chat/completions"


def mistral(upstream: Dialect) -> Dialect:
    def peek(body: dict[str, Any], path: str) -> Peek:
        return replace(upstream.peek(request_in.as_chat(body), path), wants_usage=True)

    return Dialect(
        name="mistral",
        version_prefix="/v1",
        generate_path="/chat/completions",
        routes=(
            Route("POST", "/v1/chat/completions", "generate"),
            Route("POST", "/v1/fim/completions", "relay"),
            Route("POST", "/v1/embeddings", "embed"),
            Route("GET", "/v1/models", "models"),
            Route("GET", "/v1/models/{model}", "model"),
        ),
        embedder=OpenAiEmbedder("mistral", dimensions_field="output_dimension", has_user=False),
        # Its SDKs name it: "speakeasy-sdk/python … mistralai", "ai-sdk/mistral/…".
        claims=lambda headers, query: "mistral" in headers.get("user-agent", "").lower(),
        peek=peek,
        wants_thoughts=lambda flavour: True,
        relay_path=_relay_path,
        read_request=lambda body, headers, path: request_in.read_request(body, upstream),
        write_request=lambda request, target: request_out.write_request(request, target, upstream),
        read_response=upstream.read_response,
        read_usage=upstream.read_usage,
        write_response=write_response,
        decoder=upstream.decoder,
        encoder=MistralEncoder,
        tap=tap_of(partial(upstream.tap, strip_usage=False)),
        read_error=upstream.read_error,
        write_error=errors.write_error,
        write_models=models.write_models,
        write_model=models.write_model,
    )
