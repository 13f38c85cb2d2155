"""Embeddings: `/api/embed`, and the older `/api/embeddings` with its one prompt, both ways.

A provider is always asked by the newer path, which takes any number of texts. Nothing to embed is answered here, as the
server does it: no texts, no vectors.
"""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects import splice
from ds2api.dialects.contract import Asker, Outgoing, Peek, Target
from ds2api.dialects.ollama.errors import broken, read_line_error
from ds2api.dialects.ollama.extras import NAME, OPTIONS, extra_of, own_fields
from ds2api.dialects.ollama.figures import read_figures, write_figures
from ds2api.dialects.ollama.peek import peek_model
from ds2api.dialects.reading import Fields, texts_of, wrong_type
from ds2api.universal.embeddings import EmbeddingRequest, Embeddings
from ds2api.universal.errors import Problem
from ds2api.universal.losses import Losses

__all__ = ["OllamaEmbedder"]

_OLD = "/embeddings"
_FIGURES = ("total_duration", "load_duration", "prompt_eval_count")


class OllamaEmbedder:
    """See `contract.Embedder`."""

    def peek(self, body: dict[str, Any], path: str) -> Peek:
        texts = _inputs(body, path)
        size = sum(len(text.encode("utf-8", "replace")) for text in texts)
        seen = Peek(peek_model(body), stream=False, text_bytes=size, form="single" if _is_old(path) else "")
        if not texts or texts == [""]:
            empty = {"embedding": []} if seen.form else {"model": seen.model, "embeddings": []}
            seen.local_answer = jsons.dump(empty)
        return seen

    def relay_path(self, path: str, model: str) -> str:
        return _OLD if _is_old(path) else "/embed"

    def rewrite(self, raw: bytes, body: dict[str, Any], path: str, model: str) -> bytes:
        return splice.with_model(raw, body, model)

    def read_request(self, body: dict[str, Any], path: str) -> EmbeddingRequest:
        fields = Fields(body)
        name = "prompt" if _is_old(path) else "input"
        request = EmbeddingRequest(
            NAME,
            fields.text("model"),
            [*_inputs(body, path)],
            single=isinstance(fields.take(name), str),
            dimensions=fields.maybe_integer("dimensions", 1),
            truncate=fields.maybe_boolean("truncate"),
            paths={"inputs": name},
        )
        options = fields.maybe_object("options") or {}
        request.extra = extra_of(fields.said() | {f"{OPTIONS}{option}": value for option, value in options.items()})
        return request

    def write_request(self, request: EmbeddingRequest, target: Target) -> Outgoing:
        losses = Losses(target.losses)
        path = request.path_of("inputs")
        if not all(isinstance(one, str) for one in request.inputs):
            raise losses.refuse(path, "Ollama takes texts, not token ids")
        for name in ("task", "title", "user"):
            if getattr(request, name) is not None:
                losses.report("dropped", request.path_of(name), "Ollama's embeddings have nothing like it")
        extra = request.extra
        for name in extra.fields if extra is not None and extra.dialect != NAME else ():
            losses.report("dropped", name, "Ollama's embeddings have nothing like it")
        own = own_fields(extra)
        options = {name.removeprefix(OPTIONS): value for name, value in own.items() if name.startswith(OPTIONS)}
        is_one = request.single and len(request.inputs) == 1
        body: dict[str, Any] = {"model": target.model, "input": request.inputs[0] if is_one else request.inputs}
        hints = {"truncate": request.truncate, "dimensions": request.dimensions, "options": options or None}
        body |= {name: value for name, value in hints.items() if value is not None}
        body |= {name: value for name, value in own.items() if not name.startswith(OPTIONS)}
        return Outgoing("/embed", jsons.dump(body), losses=losses.items)

    def read_response(self, body: dict[str, Any]) -> Embeddings:
        if body.get("error"):
            raise Problem(read_line_error(body))
        vectors = body.get("embeddings", [body["embedding"]] if "embedding" in body else None)
        if not isinstance(vectors, list) or not all(isinstance(vector, list) for vector in vectors):
            raise Problem(broken("its answer holds no `embeddings`"))
        model, usage = body.get("model"), read_figures(body)
        if usage is not None:
            usage.output_text = None  # nothing is generated
        return Embeddings(vectors, model if isinstance(model, str) else None, usage)

    def write_response(self, embeddings: Embeddings, request: EmbeddingRequest, asker: Asker) -> bytes:
        if asker.form == "single" or request.path_of("inputs") == "prompt":
            return jsons.dump({"embedding": embeddings.vectors[0] if embeddings.vectors else []})
        figures, _ = write_figures(embeddings.usage)
        known = {name: figures[name] for name in _FIGURES if name in figures}
        return jsons.dump({"model": asker.model, "embeddings": embeddings.vectors, **known})


def _is_old(path: str) -> bool:
    return path.partition("?")[0].rstrip("/").endswith(_OLD)


def _inputs(body: dict[str, Any], path: str) -> list[str]:
    """The texts; none where nothing was said."""
    name = "prompt" if _is_old(path) else "input"
    value = body.get(name)
    if value is None or isinstance(value, str):
        return [value] if value else []
    if name == "input" and isinstance(value, list):
        return texts_of(value, name)
    raise wrong_type(value, name, "a string" if name == "prompt" else "a string or an array of strings")
