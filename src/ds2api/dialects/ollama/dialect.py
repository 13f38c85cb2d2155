"""The dialect `ollama`: its doors, each a function of the file that does it (`dialects.contract.Dialect`)."""

from __future__ import annotations

from ds2api.dialects.contract import Dialect, Route, tap_of
from ds2api.dialects.ollama import errors, models, peek, request_in, request_out, response
from ds2api.dialects.ollama.decoder import OllamaDecoder
from ds2api.dialects.ollama.embedder import OllamaEmbedder
from ds2api.dialects.ollama.encoder import OllamaEncoder
from ds2api.dialects.ollama.tap import OllamaTap

__all__ = ["DIALECT"]

DIALECT = Dialect(
    name="ollama",
    version_prefix="/api",
    generate_path="/chat",
    stream_type="application/x-ndjson",
    routes=(
        Route("POST", "/api/chat", "generate"),
        Route("POST", "/api/generate", "generate"),
        Route("POST", "/api/embed", "embed"),
        Route("POST", "/api/embeddings", "embed"),
        Route("GET", "/api/tags", "models"),
        Route("GET", "/api/ps", "models"),
        Route("POST", "/api/show", "model"),
        Route("GET", "/api/version", "note"),
    ),
    embedder=OllamaEmbedder(),
    # Its SDKs name themselves ("ollama-python/0.6.3 …").
    claims=lambda headers, query: headers.get("user-agent", "").lower().startswith("ollama"),
    peek=peek.peek,
    relay_path=lambda path, model: "/generate" if request_in.is_generate(path) else "/chat",
    read_request=request_in.read_request,
    write_request=request_out.write_request,
    read_response=response.read_response,
    read_usage=response.read_usage_alone,
    write_response=response.write_response,
    decoder=OllamaDecoder,
    encoder=OllamaEncoder,
    tap=tap_of(OllamaTap),
    read_error=errors.read_error,
    write_error=errors.write_error,
    write_models=models.write_models,
    write_model=models.write_model,
    write_note=models.write_note,
)
