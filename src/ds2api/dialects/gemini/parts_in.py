"""One part of a content: wire → universal.

A part holds exactly one thing (proto `oneof`) and attributes beside it. What is known to every protocol is read
strictly; what only Gemini runs or knows (executed code, its own tools' calls, later kinds) is kept whole.

Base64 comes in both alphabets (google-genai writes the URL-safe one); media are put into the standard one, which
every other protocol wants. A file of Google's own storage is a `file_id`: nobody else can fetch it.
"""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.gemini.fields import NAME, GeminiFields, extra_of
from ds2api.dialects.gemini.proofs import read_signature
from ds2api.dialects.reading import at, shown
from ds2api.universal.errors import Problem
from ds2api.universal.parts import (
    Audio,
    Call,
    File,
    Image,
    Media,
    Opaque,
    Part,
    Reasoning,
    Result,
    Source,
    Text,
    Video,
)  # fmt: skip

__all__ = ["ATTRIBUTES", "PendingCalls", "media_class", "read_part", "standard_base64", "synthetic_id"]

# What may stand beside the one thing that a part is.
ATTRIBUTES = frozenset({
    "thought", "thoughtSignature", "videoMetadata", "mediaResolution", "partMetadata", "mediaProcessing",
    "speechMetadata", "documentMetadata", "spreadsheetMetadata", "audioMetadata",
})  # fmt: skip
_KNOWN = ("text", "inlineData", "fileData", "functionCall", "functionResponse")
_AUDIO_FORMATS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mp3": "mp3", "audio/mpeg": "mp3"}
_OWN_STORES = ("gs://", "https://generativelanguage.googleapis.com/", "files/")
_WRAPPERS = ("output", "result", "error")


class PendingCalls:
    """Calls that wait for their results, to find the call of a result that names no id: by (name, order)."""

    def __init__(self) -> None:
        self._waiting: list[Call] = []

    def add(self, call: Call) -> None:
        self._waiting.append(call)

    def answered(self, identity: str | None, name: str | None) -> Call | None:
        """The call that a result answers; it waits no more."""
        for call in self._waiting:
            if call.id == identity if identity else call.name == name:
                self._waiting.remove(call)
                return call
        return None


def synthetic_id(path: str) -> str:
    """An id for a call that came without one, by its place: ``contents[3].parts[1]`` → ``call_3_1``."""
    return "call_" + "_".join(piece.partition("]")[0] for piece in path.split("[")[1:])


def standard_base64(data: str) -> str:
    if "-" in data or "_" in data:
        data = data.replace("-", "+").replace("_", "/")
    return data + "=" * (-len(data) % 4)


def media_class(media_type: str | None) -> type[Image | Audio | Video | File]:
    """The kind of part that holds such a file."""
    return {"image": Image, "audio": Audio, "video": Video}.get((media_type or "").partition("/")[0].lower(), File)


def read_part(value: Any, path: str, pending: PendingCalls) -> Part:
    """Raises `Problem` naming the field."""
    fields = GeminiFields(value, path)
    if fields.take("thought") is True:
        fields.keep("thought", value=True)
    kinds = [name for name in fields.said() if name not in ATTRIBUTES]
    if len(kinds) > 1:
        raise Problem.bad_request(f"{path}: expected one kind of data, found {shown(', '.join(kinds))}", path)
    if kinds and kinds[0] not in _KNOWN:
        return Opaque(NAME, kinds[0], value, path)
    signature = read_signature(fields.maybe_text("thoughtSignature"))
    if kinds == ["text"] or (not kinds and signature is not None):
        text = fields.maybe_text("text") or ""
        is_thought = fields.take("thought") is True
        extra = extra_of(("", fields))
        if is_thought:
            return Reasoning(text, signature, summary=True, path=path, extra=extra)
        return Text(text, signature=signature, path=path, extra=extra)
    if not kinds:
        raise Problem.bad_request(f"{path}: expected one of {', '.join(_KNOWN)}, found none of them", path)
    name = kinds[0]
    inner = GeminiFields(fields.object(name), fields.at(name))
    if name == "functionCall":
        call = _call(inner, path)
        call.signature = signature
        call.extra = extra_of(("", fields), ("functionCall.", inner))
        pending.add(call)
        return call
    if signature is not None:  # a drawn picture has one too; only Gemini knows what to do with it
        fields.keep("thoughtSignature", signature.data)
    if name == "functionResponse":
        result = _result(inner, path, pending)
        result.extra = extra_of(("", fields), ("functionResponse.", inner))
        return result
    return _media(name, inner, fields)


def _media(name: str, inner: GeminiFields, outer: GeminiFields) -> Image | Audio | Video | File:
    media_type = inner.maybe_text("mimeType")
    if name == "inlineData":
        source = Source(data=standard_base64(inner.text("data")), media_type=media_type)
    else:
        uri = inner.text("fileUri")
        is_own = uri.startswith(_OWN_STORES)
        source = Source(url=None if is_own else uri, file_id=uri if is_own else None, media_type=media_type)
        if media_type is None and "youtu" in uri:  # the one kind of link whose type may be left out
            return Video(source, path=outer.path, extra=extra_of(("", outer), (f"{name}.", inner)))
    kind = media_class(media_type)
    part = kind(source, path=outer.path)
    if isinstance(part, File):
        part.name = inner.maybe_text("displayName")
    elif isinstance(part, Audio):
        part.format = _AUDIO_FORMATS.get(media_type or "")
    part.extra = extra_of(("", outer), (f"{name}.", inner))
    return part


def _call(inner: GeminiFields, path: str) -> Call:
    arguments = inner.maybe_object("args")
    identity = inner.maybe_text("id") or synthetic_id(path)
    return Call(identity, inner.text("name"), "" if arguments is None else jsons.dump(arguments).decode(), path=path)


def _result(inner: GeminiFields, path: str, pending: PendingCalls) -> Result:
    """The response as one text, unwrapped where its only key is a wrapper (`mapping.md` §3). Where it came from stands
    in the text's path, and whether it was a string in `plain`, so that Gemini gets it back as it was."""
    identity, name = inner.maybe_text("id"), inner.maybe_text("name")
    call = pending.answered(identity, name)
    if identity is None:
        identity = call.id if call is not None else synthetic_id(path)
    if name is None and call is not None:
        name = call.name
    response = inner.maybe_object("response")
    content: list[Part] = []
    where, value = inner.at("response"), response
    is_error = None
    if response is not None and len(response) == 1 and (key := next(iter(response))) in _WRAPPERS:
        where, value = at(where, key), response[key]
        is_error = True if key == "error" else None
    if value is not None or where.endswith(_WRAPPERS):
        content.append(Text(value if isinstance(value, str) else jsons.dump(value).decode(), path=where))
    for number, one in enumerate(inner.listed("parts")):
        part_path = at(inner.at("parts"), number)
        read = read_part(one, part_path, pending)
        if not isinstance(read, Media):
            raise Problem.bad_request(f"{part_path}: expected inlineData or fileData", part_path)
        content.append(read)
    return Result(identity, content, is_error, name, path=path, plain=isinstance(value, str))
