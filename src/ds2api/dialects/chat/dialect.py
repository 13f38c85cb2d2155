"""The dialect `chat`, OpenAI Chat Completions, and whoever speaks it with an accent: its doors, each a function of the
file that does it (`dialects.contract.Dialect`)."""

from __future__ import annotations

from collections.abc import Mapping

from ds2api.dialects.chat import errors, fit, models, peek, request_in, request_out, response_in, response_out, rewrite
from ds2api.dialects.chat.decoder import ChatDecoder
from ds2api.dialects.chat.encoder import ChatEncoder
from ds2api.dialects.chat.flavours import flavour_of
from ds2api.dialects.chat.tap import ChatTap
from ds2api.dialects.contract import Dialect, Route, Target
from ds2api.dialects.openai_embeddings import OpenAiEmbedder

__all__ = ["DIALECT"]

_PATH = "/chat/completions"
# A client's own headers that mean something to a chat server: switches of OpenAI, names of an app at OpenRouter.
_RELAYED_HEADERS = ("openai-beta", "x-client-request-id")
_RELAYED_BY_FLAVOUR: Mapping[str, tuple[str, ...]] = {"openrouter": ("http-referer", "x-title")}


def _relay_path(path: str, model: str) -> str:
    plain = path.partition("?")[0]
    return "/completions" if plain.endswith("/completions") and "/chat/" not in plain else _PATH


def _relay_headers(headers: Mapping[str, str], target: Target) -> list[tuple[str, str]]:
    names = (*_RELAYED_HEADERS, *_RELAYED_BY_FLAVOUR.get(target.flavour, ()))
    return [(name, headers[name]) for name in names if name in headers]


# Whatever speaks on these paths and is nobody else's is a client of chat: so it `claims` none.
DIALECT = Dialect(
    name="chat",
    version_prefix="/v1",
    generate_path=_PATH,
    routes=(
        Route("POST", "/v1/chat/completions", "generate"),
        Route("GET", "/v1/models", "models"),
        Route("GET", "/v1/models/{model}", "model"),
        Route("POST", "/v1/completions", "relay"),
        Route("POST", "/v1/embeddings", "embed"),
    ),
    embedder=OpenAiEmbedder("chat"),
    peek=peek.peek,
    must_ask_usage=lambda flavour: flavour_of(flavour).stream_options,
    wants_thoughts=lambda flavour: flavour_of(flavour).reasoning_with_calls,
    fits=fit.fits,
    relay_path=_relay_path,
    rewrite=rewrite.rewrite,
    relay_headers=_relay_headers,
    read_request=request_in.read_request,
    write_request=request_out.write_request,
    read_response=response_in.read_response,
    read_usage=response_in.read_usage_alone,
    write_response=response_out.write_response,
    decoder=ChatDecoder,
    encoder=ChatEncoder,
    tap=ChatTap,
    read_error=errors.read_error,
    write_error=errors.write_error,
    write_models=models.written_models,
    write_model=models.written_model,
)
