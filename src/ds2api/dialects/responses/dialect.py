"""The doors of Responses, joined: see `contract.Dialect` for what each promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
from ds2api.dialects.responses import answer, errors, peek, request_in, request_out
from ds2api.dialects.responses.decoder import ResponsesDecoder
from ds2api.dialects.responses.encoder import ResponsesEncoder, write_response
from ds2api.dialects.responses.models import written_model, written_models
from ds2api.dialects.responses.state import ResponsesAnswerKeeper
from ds2api.dialects.responses.tap import ResponsesTap
from ds2api.dialects.responses.token_count import PATH as COUNT_PATH
from ds2api.dialects.responses.token_count import ResponsesTokenCounter
from ds2api.dialects.splice import with_model
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.losses import Loss
from ds2api.universal.request import Request
from ds2api.universal.response import Response
from ds2api.universal.usage import Usage

__all__ = ["DIALECT"]

# A client's own headers that mean something to the server: switches of OpenAI, the session that Codex names.
_RELAYED_HEADERS = ("openai-beta", "x-client-request-id", "session_id", "originator")


class ResponsesDialect:
    """OpenAI's Responses, and whoever speaks it."""

    name = "responses"
    version_prefix = "/v1"
    generate_path = request_out.PATH
    stream_type = "text/event-stream"
    request_id_header = "x-request-id"
    routes: tuple[Route, ...] = (
        Route("POST", "/v1/responses", "generate"),
        Route("POST", "/v1/responses/input_tokens", "count_tokens"),
        Route("POST", "/v1/responses/compact", "relay"),
        Route("GET", "/v1/responses/{id}", "stored"),
        Route("DELETE", "/v1/responses/{id}", "stored"),
        Route("POST", "/v1/responses/{id}/cancel", "stored"),
        Route("GET", "/v1/responses/{id}/input_items", "stored"),
    )
    token_counter: TokenCounter | None = ResponsesTokenCounter()
    embedder: Embedder | None = None
    proves_text = False
    answer_keeper: AnswerKeeper | None = ResponsesAnswerKeeper()

    def claims(self, headers: Mapping[str, str], query: str) -> bool:
        """Its paths are its own."""
        return False

    def peek(self, body: dict[str, Any], path: str) -> Peek:
        return peek.peek(body)

    def must_ask_usage(self, flavour: str) -> bool:
        return False

    def wants_thoughts(self, flavour: str) -> bool:
        return False

    def fits(self, body: dict[str, Any], target: Target) -> bool:
        return True

    def relay_path(self, path: str, model: str) -> str:
        """The client's own from ``/responses`` on, which is what a request about one answer is; its query, too, but
        where an answer is asked for."""
        own = path[max(path.find(self.generate_path), 0) :]
        plain = own.partition("?")[0]
        return self.generate_path if plain == self.generate_path else own

    def rewrite(self, raw: bytes, body: dict[str, Any], model: str, *, ask_usage: bool) -> bytes:
        """Usage is always in the stream here, so `ask_usage` changes nothing."""
        return with_model(raw, body, model)

    def read_request(self, body: dict[str, Any], headers: Mapping[str, str], path: str) -> Request:
        return request_in.read_request(body, counts_only=path.partition("?")[0].endswith(COUNT_PATH))

    def write_request(self, request: Request, target: Target) -> Outgoing:
        return request_out.write_request(request, target)

    def relay_headers(self, headers: Mapping[str, str], target: Target) -> list[tuple[str, str]]:
        return [(name, headers[name]) for name in _RELAYED_HEADERS if name in headers]

    def read_response(self, body: dict[str, Any]) -> Response:
        return answer.read_response(body)

    def read_usage(self, body: dict[str, Any]) -> Usage | None:
        return answer.read_usage_alone(body)

    def write_response(self, response: Response, asker: Asker) -> tuple[bytes, list[Loss]]:
        return write_response(response, asker)

    def decoder(self, flavour: str = "") -> Decoder:
        return ResponsesDecoder()

    def encoder(self, asker: Asker) -> Encoder:
        return ResponsesEncoder(asker)

    def tap(self, *, strip_usage: bool) -> Tap:
        return ResponsesTap()

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


DIALECT: Dialect = ResponsesDialect()
