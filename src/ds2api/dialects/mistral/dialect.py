"""The dialect `mistral`: the doors for clients are here, those for providers are `upstream`'s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ds2api.dialects import splice
from ds2api.dialects.contract import (
    AnswerKeeper,
    Asker,
    Decoder,
    Dialect,
    Embedder,
    Encoder,
    ModelInfo,
    Outgoing,
    Peek,
    Route,
    Tap,
    Target,
    TokenCounter,
    WrittenError,
)
from ds2api.dialects.mistral import errors, request_in, request_out
from ds2api.dialects.mistral import models as listing
from ds2api.dialects.mistral.encoder import MistralEncoder
from ds2api.dialects.mistral.response import write_response
from ds2api.dialects.openai_embeddings import OpenAiEmbedder
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.losses import Loss
from ds2api.universal.request import Request
from ds2api.universal.response import Response
from ds2api.universal.usage import Usage

__all__ = ["MistralDialect"]


class MistralDialect:
    """La Plateforme. Stateless. `upstream` is chat, whose flavour "mistral" knows Mistral's servers."""

    name = "mistral"
    version_prefix = "/v1"
    generate_path = "/chat/completions"
    stream_type = "text/event-stream"
    request_id_header = "x-request-id"
    routes: tuple[Route, ...] = (
        Route("POST", "/v1/chat/completions", "generate"),
        Route("POST", "/v1/fim/completions", "relay"),
        Route("POST", "/v1/embeddings", "embed"),
        Route("GET", "/v1/models", "models"),
        Route("GET", "/v1/models/{model}", "model"),
    )
    token_counter: TokenCounter | None = None
    embedder: Embedder | None = OpenAiEmbedder("mistral", dimensions_field="output_dimension", has_user=False)
    proves_text = False
    answer_keeper: AnswerKeeper | None = None

    def __init__(self, upstream: Dialect) -> None:
        self._upstream = upstream

    def claims(self, headers: Mapping[str, str], query: str) -> bool:
        """Its SDKs name it: "speakeasy-sdk/python … mistralai", "ai-sdk/mistral/…"."""
        return "mistral" in headers.get("user-agent", "").lower()

    def peek(self, body: dict[str, Any], path: str) -> Peek:
        return replace(self._upstream.peek(request_in.as_chat(body), path), wants_usage=True)

    def must_ask_usage(self, flavour: str) -> bool:
        return False

    def wants_thoughts(self, flavour: str) -> bool:
        return True

    def fits(self, body: dict[str, Any], target: Target) -> bool:
        return True

    def relay_path(self, path: str, model: str) -> str:
        plain = path.partition("?")[0].rstrip("/")
        return "/fim/completions" if plain.endswith("/fim/completions") else self.generate_path

    def rewrite(self, raw: bytes, body: dict[str, Any], model: str, *, ask_usage: bool) -> bytes:
        """Usage is always in the answer here, so `ask_usage` changes nothing."""
        return splice.with_model(raw, body, model)

    def read_request(self, body: dict[str, Any], headers: Mapping[str, str], path: str) -> Request:
        return request_in.read_request(body, self._upstream)

    def write_request(self, request: Request, target: Target) -> Outgoing:
        return request_out.write_request(request, target, self._upstream)

    def relay_headers(self, headers: Mapping[str, str], target: Target) -> list[tuple[str, str]]:
        return []

    def read_response(self, body: dict[str, Any]) -> Response:
        return self._upstream.read_response(body)

    def read_usage(self, body: dict[str, Any]) -> Usage | None:
        return self._upstream.read_usage(body)

    def write_response(self, response: Response, asker: Asker) -> tuple[bytes, list[Loss]]:
        return write_response(response, asker)

    def decoder(self, flavour: str = "") -> Decoder:
        return self._upstream.decoder("mistral")

    def encoder(self, asker: Asker) -> Encoder:
        return MistralEncoder(asker)

    def tap(self, *, strip_usage: bool) -> Tap:
        """Nobody asks Mistral for usage, so there is never one to take out."""
        return self._upstream.tap(strip_usage=False)

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Error:
        return self._upstream.read_error(status, headers, body)

    def write_error(self, error: Error, request_id: str) -> WrittenError:
        return errors.write_error(error, request_id)

    def write_models(self, models: Sequence[ModelInfo], query: Mapping[str, str], path: str) -> bytes:
        return listing.write_models(models)

    def write_model(self, model: ModelInfo, path: str) -> bytes:
        return listing.write_model(model)

    def write_note(self, path: str) -> bytes:
        raise Problem(Error(Fault.REQUEST, Kind.NOT_FOUND, f"there is nothing at {path[:200]!r}"))
