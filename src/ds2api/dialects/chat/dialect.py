"""The doors of chat completions, joined: see `contract.Dialect` for what each promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ds2api.dialects.chat import errors, peek, request_in, request_out, response_in, response_out, rewrite
from ds2api.dialects.chat.decoder import ChatDecoder
from ds2api.dialects.chat.encoder import ChatEncoder
from ds2api.dialects.chat.fit import fits
from ds2api.dialects.chat.flavours import flavour_of
from ds2api.dialects.chat.models import written_model, written_models
from ds2api.dialects.chat.tap import ChatTap
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
from ds2api.dialects.openai_embeddings import OpenAiEmbedder
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.losses import Loss
from ds2api.universal.request import Request
from ds2api.universal.response import Response
from ds2api.universal.usage import Usage

__all__ = ["DIALECT"]

# A client's own headers that mean something to a chat server: switches of OpenAI, names of an app at OpenRouter.
_RELAYED_HEADERS = ("openai-beta", "x-client-request-id")
_RELAYED_BY_FLAVOUR: Mapping[str, tuple[str, ...]] = {"openrouter": ("http-referer", "x-title")}


class ChatDialect:
    """OpenAI Chat Completions, and whoever speaks it with an accent."""

    name = "chat"
    version_prefix = "/v1"
    generate_path = "/chat/completions"
    stream_type = "text/event-stream"
    request_id_header = "x-request-id"
    routes: tuple[Route, ...] = (
        Route("POST", "/v1/chat/completions", "generate"),
        Route("GET", "/v1/models", "models"),
        Route("GET", "/v1/models/{model}", "model"),
        Route("POST", "/v1/completions", "relay"),
        Route("POST", "/v1/embeddings", "embed"),
    )
    token_counter: TokenCounter | None = None
    answer_keeper: AnswerKeeper | None = None
    embedder: Embedder | None = OpenAiEmbedder("chat")
    proves_text = False

    def claims(self, headers: Mapping[str, str], query: str) -> bool:
        """Never for sure: whatever speaks on these paths and is nobody else's is a client of chat."""
        return False

    def peek(self, body: dict[str, Any], path: str) -> Peek:
        return peek.peek(body, path)

    def must_ask_usage(self, flavour: str) -> bool:
        return flavour_of(flavour).stream_options

    def wants_thoughts(self, flavour: str) -> bool:
        return flavour_of(flavour).reasoning_with_calls

    def fits(self, body: dict[str, Any], target: Target) -> bool:
        return fits(body, target)

    def relay_path(self, path: str, model: str) -> str:
        plain = path.partition("?")[0]
        return "/completions" if plain.endswith("/completions") and "/chat/" not in plain else self.generate_path

    def rewrite(self, raw: bytes, body: dict[str, Any], model: str, *, ask_usage: bool) -> bytes:
        return rewrite.rewrite(raw, body, model, ask_usage=ask_usage)

    def read_request(self, body: dict[str, Any], headers: Mapping[str, str], path: str) -> Request:
        return request_in.read_request(body, headers, path)

    def write_request(self, request: Request, target: Target) -> Outgoing:
        return request_out.write_request(request, target)

    def relay_headers(self, headers: Mapping[str, str], target: Target) -> list[tuple[str, str]]:
        names = (*_RELAYED_HEADERS, *_RELAYED_BY_FLAVOUR.get(target.flavour, ()))
        return [(name, headers[name]) for name in names if name in headers]

    def read_response(self, body: dict[str, Any]) -> Response:
        return response_in.read_response(body)

    def read_usage(self, body: dict[str, Any]) -> Usage | None:
        return response_in.read_usage_alone(body)

    def write_response(self, response: Response, asker: Asker) -> tuple[bytes, list[Loss]]:
        return response_out.write_response(response, asker)

    def decoder(self, flavour: str = "") -> Decoder:
        """One decoder reads all flavours."""
        return ChatDecoder()

    def encoder(self, asker: Asker) -> Encoder:
        return ChatEncoder(asker)

    def tap(self, *, strip_usage: bool) -> Tap:
        return ChatTap(strip_usage=strip_usage)

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Error:
        return errors.read_error(status, headers, body)

    def write_error(self, error: Error, request_id: str) -> WrittenError:
        return errors.write_error(error, request_id)

    def write_models(self, models: Sequence[ModelInfo], query: Mapping[str, str], path: str) -> bytes:
        return written_models(models)

    def write_model(self, model: ModelInfo, path: str) -> bytes:
        return written_model(model)

    def write_note(self, path: str) -> bytes:
        raise Problem(Error(Fault.REQUEST, Kind.NOT_FOUND, f"there is nothing at {path[:200]!r}"))


DIALECT: Dialect = ChatDialect()
