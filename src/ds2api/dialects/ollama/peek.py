"""What routing and the pool need of a request: one walk over the parsed body, nothing built.

Affinity is a hash of the conversation's own beginning, what was said up to the first user's message with it. A request
without a prompt only loads or unloads a model, which a gateway has nothing to do for: its answer is known at once.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import Peek
from ds2api.dialects.ollama.request_in import is_generate
from ds2api.dialects.reading import maybe_boolean, maybe_integer, maybe_list, maybe_object, object_at, text_of
from ds2api.universal.errors import Problem

__all__ = ["NO_TIME", "peek", "peek_model"]

# There is no clock here. The zero of Go's `time.Time`, which is what a client of the Go library reads where no time is.
NO_TIME = "0001-01-01T00:00:00Z"
# Of a picture's data: enough to tell two apart without hashing megabytes.
_MEDIA_CHARACTERS = 512
_is_zero = re.compile(r"0+(\.0+)?([nuµm]?s|m|h)?").fullmatch


def peek_model(body: dict[str, Any]) -> str:
    if "model" not in body:
        raise Problem.bad_request("model: required, the name of a model", "model")
    model = text_of(body["model"], "model")
    if not model:
        raise Problem.bad_request("model: expected a model's name, found an empty string", "model")
    return model


def peek(body: dict[str, Any], path: str) -> Peek:
    """See `contract.Dialect.peek`."""
    model = peek_model(body)
    stream = maybe_boolean(body.get("stream"), "stream")
    options = maybe_object(body.get("options"), "options") or {}
    limit = maybe_integer(options.get("num_predict"), "options.num_predict")
    seen = Peek(model, stream is None or stream, limit if limit is not None and limit > 0 else None, wants_usage=True)
    if is_generate(path):
        seen.form = "generate"
        user = {name: body.get(source) for name, source in (("content", "prompt"), ("images", "images"))}
        messages = [{"role": "system", "content": body.get("system")}, {"role": "user", **user}]
        is_load = not body.get("prompt") and not body.get("suffix")
    else:
        listed = maybe_list(body.get("messages"), "messages") or []
        messages = [object_at(message, "messages", index) for index, message in enumerate(listed)]
        is_load = not messages
    if is_load:
        seen.local_answer = _loaded(model, body.get("keep_alive"), seen.form)
    _walk(messages, seen)
    for name in ("tools", "format"):
        if body.get(name):
            seen.text_bytes += len(jsons.dump(body[name]))
    return seen


def _walk(messages: list[dict[str, Any]], seen: Peek) -> None:
    digest = hashlib.blake2b(digest_size=16)
    for message in messages:
        role, images = message.get("role"), message.get("images")
        texts = [message.get(name) for name in ("content", "thinking")]
        raw = [text.encode("utf-8", "replace") for text in texts if isinstance(text, str)]
        pictures = [one for one in images if isinstance(one, str)] if isinstance(images, list) else []
        seen.text_bytes += sum(map(len, raw))
        seen.media_count += len(pictures)
        if message.get("tool_calls"):
            seen.text_bytes += len(jsons.dump(message["tool_calls"]))
        if seen.affinity is None:
            marks = [f"{len(one)}:{one[:_MEDIA_CHARACTERS]}".encode("utf-8", "replace") for one in pictures]
            for piece in (str(role).encode("utf-8", "replace"), *raw, *marks):
                digest.update(b"%d:" % len(piece) + piece)
            if role == "user":
                seen.affinity = digest.hexdigest()


def _loaded(model: str, keep_alive: Any, form: str) -> bytes:
    """`server/routes.go`: without messages, or without a prompt, the model is loaded, or unloaded for a time of 0."""
    is_zero = isinstance(keep_alive, str) and _is_zero(keep_alive) is not None
    is_zero = is_zero or (isinstance(keep_alive, (int, float)) and not isinstance(keep_alive, bool) and not keep_alive)
    said: dict[str, Any] = {"response": ""} if form else {"message": {"role": "assistant", "content": ""}}
    answer = {"model": model, "created_at": NO_TIME, **said, "done": True}
    return jsons.dump(answer | {"done_reason": "unload" if is_zero else "load"}) + b"\n"
