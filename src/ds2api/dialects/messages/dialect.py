"""The dialect `messages`: its doors, each a function of the file that does it (`dialects.contract.Dialect`)."""

from __future__ import annotations

from collections.abc import Mapping

from ds2api.dialects.contract import Dialect, Route, Target, tap_of
from ds2api.dialects.messages import errors, models, peek, request_in, request_out, response
from ds2api.dialects.messages.decoder import MessagesDecoder
from ds2api.dialects.messages.encoder import MessagesEncoder
from ds2api.dialects.messages.hosts import host_of
from ds2api.dialects.messages.tap import MessagesTap
from ds2api.dialects.messages.token_count import MessagesTokenCounter

__all__ = ["DIALECT"]

_RELAYED = ("anthropic-version", "anthropic-beta")


def _relay_headers(headers: Mapping[str, str], target: Target) -> list[tuple[str, str]]:
    """The client's version and betas; the target's version where the client named none."""
    relayed = [(name.lower(), value) for name, value in headers.items() if name.lower() in _RELAYED]
    if not any(name == "anthropic-version" for name, _ in relayed):
        relayed.insert(0, ("anthropic-version", target.anthropic_version))
    return relayed


DIALECT = Dialect(
    name="messages",
    version_prefix="/v1",
    generate_path="/messages",
    request_id_header="request-id",
    routes=(
        Route("POST", "/v1/messages", "generate"),
        Route("POST", "/v1/messages/count_tokens", "count_tokens"),
        Route("GET", "/v1/models", "models"),
        Route("GET", "/v1/models/{model}", "model"),
    ),
    token_counter=MessagesTokenCounter(),
    # Its SDKs always name the version; the credential's header tells nothing (`features.md` §1).
    claims=lambda headers, query: "anthropic-version" in headers,
    peek=peek.peek,
    # Only Anthropic's own API takes everything as it comes; see `hosts`.
    fits=lambda body, target: not host_of(target.flavour).has_own_body,
    relay_path=lambda path, model: "/messages",
    relay_headers=_relay_headers,
    read_request=request_in.read_request,
    write_request=request_out.write_request,
    read_response=response.read_response,
    read_usage=response.read_usage_alone,
    write_response=response.write_response,
    decoder=MessagesDecoder,
    encoder=MessagesEncoder,
    tap=tap_of(MessagesTap),
    read_error=errors.read_error,
    write_error=errors.write_error,
    write_models=models.write_models,
    write_model=models.write_model,
)
