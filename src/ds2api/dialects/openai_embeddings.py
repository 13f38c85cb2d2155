"""OpenAI's embeddings API, which Mistral and nearly all compatible servers speak too: both ways.

Clients of the official SDKs ask for base64 without being told to, and decode it themselves; what they get must be
in the very encoding that they asked for, whatever the provider gave. Base64 is little-endian 32-bit floats, as
OpenAI documents it. A dialect that differs in the name of a field gives its names to `OpenAiEmbedder`.
"""

from __future__ import annotations

import base64
import binascii
import sys
from array import array
from typing import Any, Literal

from ds2api import jsons
from ds2api.dialects import splice
from ds2api.dialects.contract import Asker, Outgoing, Peek, Target
from ds2api.dialects.openai_usage import read_usage
from ds2api.dialects.reading import Fields, at, list_of, one_of, text_of, wrong_type
from ds2api.universal.embeddings import EmbeddingRequest, Embeddings
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.losses import Losses
from ds2api.universal.parts import Extra

__all__ = ["OpenAiEmbedder", "packed", "unpacked"]

_PATH = "/embeddings"


class OpenAiEmbedder:
    """See `contract.Embedder`. `dimensions_field` is how the dialect calls the wanted length of a vector, `has_user`
    whether it takes the end user's id."""

    def __init__(self, dialect: str, *, dimensions_field: str = "dimensions", has_user: bool = True) -> None:
        self._dialect = dialect
        self._dimensions_field = dimensions_field
        self._has_user = has_user

    def peek(self, body: dict[str, Any], path: str) -> Peek:
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise Problem.bad_request("model: required, the name of a model", "model")
        size = sum(len(text.encode("utf-8", "replace")) for text in _inputs(body) if isinstance(text, str))
        return Peek(model, stream=False, text_bytes=size)

    def relay_path(self, path: str, model: str) -> str:
        return _PATH

    def rewrite(self, raw: bytes, body: dict[str, Any], path: str, model: str) -> bytes:
        return splice.with_model(raw, body, model)

    def read_request(self, body: dict[str, Any], path: str) -> EmbeddingRequest:
        fields = Fields(body)
        model = text_of(fields.take("model"), "model")
        inputs = _inputs(body)
        fields.take("input")
        encoding = fields.maybe_text("encoding_format")
        request = EmbeddingRequest(
            self._dialect,
            model,
            inputs,
            single=isinstance(body["input"], str) or inputs[0] is body["input"],
            dimensions=fields.maybe_integer(self._dimensions_field, 1),
            encoding=None if encoding is None else _encoding(encoding),
            user=fields.maybe_text("user") if self._has_user else None,
            paths={"inputs": "input", "dimensions": self._dimensions_field, "encoding": "encoding_format"},
        )
        rest = fields.rest()
        request.extra = Extra(self._dialect, rest) if rest else None
        return request

    def write_request(self, request: EmbeddingRequest, target: Target) -> Outgoing:
        losses = Losses(target.losses)
        inputs: Any = request.inputs[0] if request.single and len(request.inputs) == 1 else request.inputs
        body: dict[str, Any] = {"model": target.model, "input": inputs}
        if request.dimensions is not None:
            body[self._dimensions_field] = request.dimensions
        if request.user is not None:
            if self._has_user:
                body["user"] = request.user
            else:
                losses.report("dropped", request.path_of("user"), "these embeddings take no user")
        if request.encoding is not None and request.dialect == self._dialect:
            body["encoding_format"] = request.encoding
        for name in ("task", "title", "truncate"):
            if getattr(request, name) is not None:
                losses.report("dropped", request.path_of(name), "OpenAI's embeddings have nothing like it")
        if request.extra is not None:
            if request.extra.dialect == self._dialect:
                body.update(request.extra.fields)
            else:
                for name in request.extra.fields:
                    losses.report("dropped", name, "OpenAI's embeddings have nothing like it")
        return Outgoing(_PATH, jsons.dump(body), losses=losses.items)

    def read_response(self, body: dict[str, Any]) -> Embeddings:
        entries = body.get("data")
        if not isinstance(entries, list):
            raise _broken("holds no `data`")
        indexed = [(_place(entry, place), _vector(entry)) for place, entry in enumerate(entries)]
        indexed.sort(key=lambda one: one[0])
        usage, model = body.get("usage"), body.get("model")
        return Embeddings(
            [vector for _, vector in indexed],
            model if isinstance(model, str) else None,
            read_usage(usage, self._dialect) if isinstance(usage, dict) else None,
        )

    def write_response(self, embeddings: Embeddings, request: EmbeddingRequest, asker: Asker) -> bytes:
        as_text = request.encoding == "base64"
        total = 0 if embeddings.usage is None else embeddings.usage.input_total or 0
        data = [
            {"object": "embedding", "index": index, "embedding": packed(vector) if as_text else vector}
            for index, vector in enumerate(embeddings.vectors)
        ]
        answer: dict[str, Any] = {"object": "list", "data": data, "model": asker.model}
        answer["usage"] = {"prompt_tokens": total, "total_tokens": total}
        if self._dialect == "mistral":  # whose SDK takes no answer without one (its `EmbeddingResponse`)
            answer["id"] = asker.new_id()
        return jsons.dump(answer)


def packed(vector: list[float]) -> str:
    """`vector` as base64 of little-endian 32-bit floats."""
    floats = array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return base64.b64encode(floats.tobytes()).decode()


def unpacked(text: str) -> list[float]:
    """The floats in `text`. Raises `ValueError` if it is no such thing."""
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    floats = array("f")
    floats.frombytes(raw)
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tolist()


def _inputs(body: dict[str, Any]) -> list[str | list[int]]:
    """A text, a list of texts, a list of token ids, or a list of those."""
    value = body.get("input")
    if value is None:
        raise Problem.bad_request("input: required, a text or a list of texts", "input")
    if isinstance(value, str):
        return [value]
    listed = list_of(value, "input") if isinstance(value, list) else None
    if not listed:
        raise wrong_type(value, "input", "a string or an array that is not empty")
    if all(isinstance(one, int) and not isinstance(one, bool) for one in listed):
        return [listed]
    for index, one in enumerate(listed):
        is_tokens = isinstance(one, list) and all(isinstance(token, int) for token in one)
        if not isinstance(one, str) and not is_tokens:
            raise wrong_type(one, at("input", index), "a string or an array of token ids")
    return listed


def _encoding(text: str) -> Literal["float", "base64"]:
    return "base64" if one_of(text, "encoding_format", ("float", "base64")) == "base64" else "float"


def _place(entry: Any, place: int) -> int:
    index = entry.get("index") if isinstance(entry, dict) else None
    return index if isinstance(index, int) else place


def _vector(entry: Any) -> list[float]:
    vector = entry.get("embedding") if isinstance(entry, dict) else None
    if isinstance(vector, str):
        try:
            return unpacked(vector)
        except ValueError:
            raise _broken("holds an embedding that is no base64 of floats") from None
    if not isinstance(vector, list):
        raise _broken("holds an entry without an embedding")
    return vector


def _broken(what: str) -> Problem:
    return Problem(Error(Fault.PROVIDER, Kind.UPSTREAM_BROKEN, f"the provider's answer {what}"))
