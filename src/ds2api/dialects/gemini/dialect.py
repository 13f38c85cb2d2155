"""The doors of Gemini's generateContent, joined: see `contract.Dialect` for what each promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

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
from ds2api.dialects.gemini import errors, peek, request_in, request_out
from ds2api.dialects.gemini import models as model_list
from ds2api.dialects.gemini import response as whole
from ds2api.dialects.gemini.decoder import GeminiDecoder
from ds2api.dialects.gemini.embedder import GeminiEmbedder
from ds2api.dialects.gemini.encoder import GeminiEncoder
from ds2api.dialects.gemini.fields import NAME
from ds2api.dialects.gemini.place import relayed_place
from ds2api.dialects.gemini.tap import GeminiTap
from ds2api.dialects.gemini.token_count import GeminiTokenCounter
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.losses import Loss
from ds2api.universal.request import Request
from ds2api.universal.response import Response
from ds2api.universal.usage import Usage

__all__ = ["DIALECT"]

# google-genai 3 asks on v1 by default, older ones on v1beta.
_VERSIONS = ("v1beta", "v1", "v1alpha")
_VERBS = (("generateContent", "generate"), ("streamGenerateContent", "generate"), ("countTokens", "count_tokens"))
_EMBEDDING_VERBS = (("embedContent", "embed"), ("batchEmbedContents", "embed"))


def _routes() -> tuple[Route, ...]:
    routes: list[Route] = []
    for version in _VERSIONS:
        for verb, operation in (*_VERBS, *_EMBEDDING_VERBS):
            routes.append(Route("POST", f"/{version}/models/{{model}}:{verb}", operation))  # type: ignore[arg-type]
        for verb, operation in _VERBS:
            routes.append(Route("POST", f"/{version}/tunedModels/{{model}}:{verb}", operation))  # type: ignore[arg-type]
        routes.append(Route("GET", f"/{version}/models", "models"))
        routes.append(Route("GET", f"/{version}/models/{{model}}", "model"))
    return tuple(routes)


class GeminiDialect:
    """Google's Gemini API. Stateless."""

    name = NAME
    version_prefix = "/v1beta"
    generate_path = "/models"
    stream_type = "text/event-stream"
    request_id_header = "x-request-id"
    routes: tuple[Route, ...] = _routes()
    token_counter: TokenCounter | None = GeminiTokenCounter()
    embedder: Embedder | None = GeminiEmbedder()
    proves_text = True
    answer_keeper: AnswerKeeper | None = None

    def claims(self, headers: Mapping[str, str], query: str) -> bool:
        """Its key has a header or a parameter of its own; its SDKs name themselves."""
        agent = headers.get("user-agent", "") + headers.get("x-goog-api-client", "")
        return "x-goog-api-key" in headers or "key" in parse_qs(query) or "google-genai" in agent

    def peek(self, body: dict[str, Any], path: str) -> Peek:
        return peek.peek(body, path)

    def must_ask_usage(self, flavour: str) -> bool:
        return False

    def wants_thoughts(self, flavour: str) -> bool:
        """Gemini reads its signatures, not its thoughts."""
        return False

    def fits(self, body: dict[str, Any], target: Target) -> bool:
        return True

    def relay_path(self, path: str, model: str) -> str:
        return relayed_place(path, model)

    def rewrite(self, raw: bytes, body: dict[str, Any], model: str, *, ask_usage: bool) -> bytes:
        """The model stands in the path, and usage always comes."""
        return raw

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

    def decoder(self, flavour: str = "") -> Decoder:
        return GeminiDecoder()

    def encoder(self, asker: Asker) -> Encoder:
        return GeminiEncoder(asker)

    def tap(self, *, strip_usage: bool) -> Tap:
        return GeminiTap()

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Error:
        return errors.read_error(status, headers, body)

    def write_error(self, error: Error, request_id: str) -> WrittenError:
        return errors.write_error(error, request_id)

    def write_models(self, models: Sequence[ModelInfo], query: Mapping[str, str], path: str) -> bytes:
        return model_list.written_models(models, query)

    def write_model(self, model: ModelInfo, path: str) -> bytes:
        return model_list.written_model(model)

    def write_note(self, path: str) -> bytes:
        raise Problem(Error(Fault.REQUEST, Kind.NOT_FOUND, f"there is nothing at {path[:200]!r}"))


DIALECT: Dialect = GeminiDialect()
