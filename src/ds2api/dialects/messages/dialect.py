"""The dialect `messages`, door by door (`dialects.contract.Dialect`): each is a line into the file that does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ds2api.dialects import splice
from ds2api.dialects.contract import (
    AnswerKeeper,
    Asker,
    Embedder,
    ModelInfo,
    Outgoing,
    Peek,
    Route,
    Target,
    TokenCounter,
    WrittenError,
)
from ds2api.dialects.messages import errors, peek, request_in, request_out
from ds2api.dialects.messages import models as model_list
from ds2api.dialects.messages import response as whole
from ds2api.dialects.messages.decoder import MessagesDecoder
from ds2api.dialects.messages.encoder import MessagesEncoder
from ds2api.dialects.messages.hosts import host_of
from ds2api.dialects.messages.tap import MessagesTap
from ds2api.dialects.messages.token_count import PATH as COUNT_PATH
from ds2api.dialects.messages.token_count import MessagesTokenCounter
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.losses import Loss
from ds2api.universal.request import Request
from ds2api.universal.response import Response
from ds2api.universal.usage import Usage

__all__ = ["MessagesDialect"]

_RELAYED = ("anthropic-version", "anthropic-beta")


class MessagesDialect:
    """Anthropic's Messages API. Stateless."""

    name = "messages"
    version_prefix = "/v1"
    generate_path = "/messages"
    stream_type = "text/event-stream"
    request_id_header = "request-id"
    routes: tuple[Route, ...] = (
        Route("POST", "/v1/messages", "generate"),
        Route("POST", "/v1/messages/count_tokens", "count_tokens"),
        Route("GET", "/v1/models", "models"),
        Route("GET", "/v1/models/{model}", "model"),
    )
    token_counter: TokenCounter | None = MessagesTokenCounter()
    answer_keeper: AnswerKeeper | None = None
    embedder: Embedder | None = None
    proves_text = False

    def claims(self, headers: Mapping[str, str], query: str) -> bool:
        """Its SDKs always name the version; the credential's header tells nothing (`features.md` §1)."""
        return "anthropic-version" in headers

    def peek(self, body: dict[str, Any], path: str) -> Peek:
        return peek.peek(body)

    def must_ask_usage(self, flavour: str) -> bool:
        return False

    def wants_thoughts(self, flavour: str) -> bool:
        return False

    def fits(self, body: dict[str, Any], target: Target) -> bool:
        """Only Anthropic's own API takes everything as it comes; see `hosts`."""
        return not host_of(target.flavour).has_own_body

    def relay_path(self, path: str, model: str) -> str:
        return self.generate_path

    def rewrite(self, raw: bytes, body: dict[str, Any], model: str, *, ask_usage: bool) -> bytes:
        """Usage is always in the stream here, so `ask_usage` changes nothing."""
        return splice.with_model(raw, body, model)

    def read_request(self, body: dict[str, Any], headers: Mapping[str, str], path: str) -> Request:
        return request_in.read_request(body, headers, counts_only=path.partition("?")[0].endswith(COUNT_PATH))

    def write_request(self, request: Request, target: Target) -> Outgoing:
        return request_out.write_request(request, target)

    def relay_headers(self, headers: Mapping[str, str], target: Target) -> list[tuple[str, str]]:
        """The client's version and betas; the target's version where the client named none."""
        relayed = [(name.lower(), value) for name, value in headers.items() if name.lower() in _RELAYED]
        if not any(name == "anthropic-version" for name, _ in relayed):
            relayed.insert(0, ("anthropic-version", target.anthropic_version))
        return relayed

    def read_response(self, body: dict[str, Any]) -> Response:
        return whole.read_response(body)

    def read_usage(self, body: dict[str, Any]) -> Usage | None:
        return whole.read_usage_alone(body)

    def write_response(self, response: Response, asker: Asker) -> tuple[bytes, list[Loss]]:
        return whole.write_response(response, asker)

    def decoder(self, flavour: str = "") -> MessagesDecoder:
        return MessagesDecoder()

    def encoder(self, asker: Asker) -> MessagesEncoder:
        return MessagesEncoder(asker)

    def tap(self, *, strip_usage: bool) -> MessagesTap:
        return MessagesTap()

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Error:
        return errors.read_error(status, headers, body)

    def write_error(self, error: Error, request_id: str) -> WrittenError:
        return errors.write_error(error, request_id)

    def write_models(self, models: Sequence[ModelInfo], query: Mapping[str, str], path: str) -> bytes:
        return model_list.write_models(models, query)

    def write_model(self, model: ModelInfo, path: str) -> bytes:
        return model_list.write_model(model)

    def write_note(self, path: str) -> bytes:
        raise Problem(Error(Fault.REQUEST, Kind.NOT_FOUND, f"there is nothing at {path[:200]!r}"))
