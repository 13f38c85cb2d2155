"""The dialect `ollama`, door by door (`dialects.contract.Dialect`): each is a line into the file that does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ds2api.dialects import splice
from ds2api.dialects.contract import (
    AnswerKeeper,
    Asker,
    Dialect,
    Embedder,
    ModelInfo,
    Outgoing,
    Peek,
    Route,
    Target,
    TokenCounter,
    WrittenError,
)
from ds2api.dialects.ollama import errors, peek, request_in, request_out
from ds2api.dialects.ollama import models as listing
from ds2api.dialects.ollama import response as whole
from ds2api.dialects.ollama.decoder import OllamaDecoder
from ds2api.dialects.ollama.embedder import OllamaEmbedder
from ds2api.dialects.ollama.encoder import OllamaEncoder
from ds2api.dialects.ollama.tap import OllamaTap
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.losses import Loss
from ds2api.universal.request import Request
from ds2api.universal.response import Response
from ds2api.universal.usage import Usage

__all__ = ["DIALECT"]


class OllamaDialect:
    """Ollama's own API. Stateless."""

    name = "ollama"
    version_prefix = "/api"
    generate_path = "/chat"
    stream_type = "application/x-ndjson"
    request_id_header = "x-request-id"
    routes: tuple[Route, ...] = (
        Route("POST", "/api/chat", "generate"),
        Route("POST", "/api/generate", "generate"),
        Route("POST", "/api/embed", "embed"),
        Route("POST", "/api/embeddings", "embed"),
        Route("GET", "/api/tags", "models"),
        Route("GET", "/api/ps", "models"),
        Route("POST", "/api/show", "model"),
        Route("GET", "/api/version", "note"),
    )
    token_counter: TokenCounter | None = None
    embedder: Embedder | None = OllamaEmbedder()
    proves_text = False
    answer_keeper: AnswerKeeper | None = None

    def claims(self, headers: Mapping[str, str], query: str) -> bool:
        """Its SDKs name themselves ("ollama-python/0.6.3 …")."""
        return headers.get("user-agent", "").lower().startswith("ollama")

    def peek(self, body: dict[str, Any], path: str) -> Peek:
        return peek.peek(body, path)

    def must_ask_usage(self, flavour: str) -> bool:
        return False

    def wants_thoughts(self, flavour: str) -> bool:
        return False

    def fits(self, body: dict[str, Any], target: Target) -> bool:
        return True

    def relay_path(self, path: str, model: str) -> str:
        return "/generate" if request_in.is_generate(path) else self.generate_path

    def rewrite(self, raw: bytes, body: dict[str, Any], model: str, *, ask_usage: bool) -> bytes:
        """Usage is always in the answer here, so `ask_usage` changes nothing."""
        return splice.with_model(raw, body, model)

    def read_request(self, body: dict[str, Any], headers: Mapping[str, str], path: str) -> Request:
        return request_in.read_request(body, path)

    def write_request(self, request: Request, target: Target) -> Outgoing:
        return request_out.write_request(request, target)

    def relay_headers(self, headers: Mapping[str, str], target: Target) -> list[tuple[str, str]]:
        return []

    def read_response(self, body: dict[str, Any]) -> Response:
        return whole.read_response(body)

    def read_usage(self, body: dict[str, Any]) -> Usage | None:
        return whole.read_usage_alone(body)

    def write_response(self, response: Response, asker: Asker) -> tuple[bytes, list[Loss]]:
        return whole.write_response(response, asker)

    def decoder(self, flavour: str = "") -> OllamaDecoder:
        return OllamaDecoder()

    def encoder(self, asker: Asker) -> OllamaEncoder:
        return OllamaEncoder(asker)

    def tap(self, *, strip_usage: bool) -> OllamaTap:
        return OllamaTap()

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Error:
        return errors.read_error(status, headers, body)

    def write_error(self, error: Error, request_id: str) -> WrittenError:
        return errors.write_error(error, request_id)

    def write_models(self, models: Sequence[ModelInfo], query: Mapping[str, str], path: str) -> bytes:
        return listing.write_models(models, path)

    def write_model(self, model: ModelInfo, path: str) -> bytes:
        return listing.write_model(model)

    def write_note(self, path: str) -> bytes:
        if path.partition("?")[0].rstrip("/").endswith("/version"):
            return listing.write_version()
        raise Problem(Error(Fault.REQUEST, Kind.NOT_FOUND, f"there is nothing at {path[:200]!r}"))


DIALECT: Dialect = OllamaDialect()
