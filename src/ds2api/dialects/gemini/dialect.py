"""The dialect `gemini`: its doors, each a function of the file that does it (`dialects.contract.Dialect`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from ds2api.dialects.contract import Dialect, Route, tap_of
from ds2api.dialects.gemini import errors, models, peek, request_in, request_out, response
from ds2api.dialects.gemini.decoder import GeminiDecoder
from ds2api.dialects.gemini.embedder import GeminiEmbedder
from ds2api.dialects.gemini.encoder import GeminiEncoder
from ds2api.dialects.gemini.fields import NAME
from ds2api.dialects.gemini.place import relayed_place
from ds2api.dialects.gemini.tap import GeminiTap
from ds2api.dialects.gemini.token_count import GeminiTokenCounter

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


def _claims(headers: Mapping[str, str], query: str) -> bool:
    """Its key has a header or a parameter of its own; its SDKs name themselves."""
    agent = headers.get("user-agent", "") + headers.get("x-goog-api-client", "")
    return "x-goog-api-key" in headers or "key" in parse_qs(query) or "google-genai" in agent


def _rewrite(raw: bytes, body: dict[str, Any], model: str, *, ask_usage: bool) -> bytes:
    """The model stands in the path, and usage always comes."""
    return raw


DIALECT = Dialect(
    name=NAME,
    version_prefix="/v1beta",
    generate_path="/models",
    routes=_routes(),
    token_counter=GeminiTokenCounter(),
    embedder=GeminiEmbedder(),
    proves_text=True,
    claims=_claims,
    peek=peek.peek,
    relay_path=relayed_place,
    rewrite=_rewrite,
    read_request=request_in.read_request,
    write_request=request_out.write_request,
    read_response=response.read_response,
    read_usage=response.read_usage_alone,
    write_response=response.write_response,
    decoder=GeminiDecoder,
    encoder=GeminiEncoder,
    tap=tap_of(GeminiTap),
    read_error=errors.read_error,
    write_error=errors.write_error,
    write_models=models.written_models,
    write_model=models.written_model,
)
