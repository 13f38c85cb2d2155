"""Embeddings: ``:embedContent`` for one text, ``:batchEmbedContents`` for many; both are read, the second is written.

A batch names the model again in each of its requests, which relaying exchanges in place.
"""

from __future__ import annotations

import re
from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import Asker, Outgoing, Peek, Target
from ds2api.dialects.gemini.errors import broken, read_stream_error
from ds2api.dialects.gemini.fields import NAME, GeminiFields, extra_of, put_extra
from ds2api.dialects.gemini.place import place_of, read_place, relayed_place, resource_name
from ds2api.dialects.gemini.usage import read_usage
from ds2api.dialects.reading import at
from ds2api.dialects.splice import replace_value, top_level_span
from ds2api.universal.embeddings import EmbeddingRequest, Embeddings
from ds2api.universal.errors import Problem
from ds2api.universal.losses import Losses

__all__ = ["GeminiEmbedder"]

_BATCH = "batchEmbedContents"
_PATHS = {"dimensions": "outputDimensionality", "task": "taskType"}
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]]', re.DOTALL)


class GeminiEmbedder:
    """See `contract.Embedder`."""

    def peek(self, body: dict[str, Any], path: str) -> Peek:
        place = read_place(path)
        size = sum(
            len(text.encode("utf-8", "replace"))
            for text in self.read_request(body, path).inputs
            if isinstance(text, str)
        )
        return Peek(place.model, stream=False, text_bytes=size, form="" if place.verb == _BATCH else "single")

    def relay_path(self, path: str, model: str) -> str:
        return relayed_place(path, model)

    def rewrite(self, raw: bytes, body: dict[str, Any], path: str, model: str) -> bytes:
        name = jsons.dump(resource_name(model))
        if "model" in body:
            raw = replace_value(raw, "model", name)
        span = top_level_span(raw, "requests")
        if span is None:
            return raw
        pieces, done = [raw[: span[0]]], span[0]
        for start, end in _objects(raw, *span):
            pieces += [raw[done:start], replace_value(raw[start:end], "model", name)]
            done = end
        return b"".join([*pieces, raw[done:]])

    def read_request(self, body: dict[str, Any], path: str) -> EmbeddingRequest:
        place = read_place(path)
        fields = GeminiFields(body)
        request = EmbeddingRequest(NAME, place.model, [], single=place.verb != _BATCH, paths=_PATHS)
        one: GeminiFields | None = fields
        if request.single:
            _read_one(fields, request)
        else:
            for number, entry in enumerate(fields.array("requests")):
                one = GeminiFields(entry, at("requests", number))
                _read_one(one, request)
        if not request.inputs:
            raise Problem.bad_request("requests: expected at least one, found none", "requests")
        request.extra = extra_of(("", one))
        return request

    def write_request(self, request: EmbeddingRequest, target: Target) -> Outgoing:
        losses = Losses(target.losses)
        entries = []
        for number, text in enumerate(request.inputs):
            if not isinstance(text, str):
                raise losses.refuse(
                    f"{request.path_of('inputs')}[{number}]", "this provider takes texts, not token ids"
                )
            entry: dict[str, Any] = {"model": resource_name(target.model), "content": {"parts": [{"text": text}]}}
            optional = {"taskType": request.task, "title": request.title, "outputDimensionality": request.dimensions}
            entries.append(
                put_extra(entry | {n: value for n, value in optional.items() if value is not None}, request.extra)
            )
        for name, value in (("user", request.user), ("truncate", request.truncate)):
            if value is not None:
                losses.report("dropped", request.path_of(name), "this provider has no such setting")
        for name in request.extra.fields if request.extra is not None and request.extra.dialect != NAME else ():
            losses.report("dropped", name, "this provider has nothing like it")
        return Outgoing(place_of(target.model, _BATCH), jsons.dump({"requests": entries}), losses=losses.items)

    def read_response(self, body: dict[str, Any]) -> Embeddings:
        if "error" in body:
            raise Problem(read_stream_error(body))
        found = body.get("embeddings", [body["embedding"]] if "embedding" in body else None)
        vectors = (
            [one.get("values") if isinstance(one, dict) else None for one in found] if isinstance(found, list) else []
        )
        if not vectors or not all(isinstance(one, list) for one in vectors):
            raise Problem(broken("its answer holds no embeddings"))
        return Embeddings([one for one in vectors if one is not None], usage=read_usage(body.get("usageMetadata")))

    def write_response(self, embeddings: Embeddings, request: EmbeddingRequest, asker: Asker) -> bytes:
        written = [{"values": vector} for vector in embeddings.vectors]
        return jsons.dump({"embedding": written[0]} if request.single and written else {"embeddings": written})


def _read_one(fields: GeminiFields, request: EmbeddingRequest) -> None:
    """One content: its texts together are one input."""
    content = GeminiFields(fields.object("content"), fields.at("content"))
    fields.take("model")
    texts = []
    for number, part in enumerate(content.listed("parts")):
        texts.append(GeminiFields(part, at(content.at("parts"), number)).text("text"))
    request.inputs.append("\n".join(texts))
    settings = (
        fields.maybe_text("taskType"),
        fields.maybe_text("title"),
        fields.maybe_integer("outputDimensionality", 1),
    )
    known = (request.task, request.title, request.dimensions)
    if len(request.inputs) > 1 and settings != known:
        reason = "requests of one batch must have the same taskType, title and outputDimensionality to be translated"
        raise Problem.bad_request(f"{fields.path}: {reason}", fields.path)
    request.task, request.title, request.dimensions = settings


def _objects(raw: bytes, start: int, end: int) -> list[tuple[int, int]]:
    """Where the objects of the array at `start` stand."""
    found: list[tuple[int, int]] = []
    depth = begin = 0
    for token in _TOKEN.finditer(raw, start, end):
        first = raw[token.start()]
        if first in b"{[":
            depth += 1
            if depth == 2 and first == 0x7B:
                begin = token.start()
        elif first in b"}]":
            depth -= 1
            if depth == 1 and first == 0x7D:
                found.append((begin, token.end()))
    return found
