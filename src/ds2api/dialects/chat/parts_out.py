"""Content parts: universal → chat's wire.

Plain text goes as a string where it came as one, or where it is a single text of another dialect: the form that
every server takes. A part that chat cannot hold is refused with the client's path, since silently losing input is
the worst failure of a gateway; only marks without influence on the answer are left out quietly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ds2api.dialects.chat.destination import Destination
from ds2api.universal.parts import Audio, CacheMark, Extra, File, Image, Media, Part, Source, Text, Video

__all__ = ["media_type_of", "written_content", "written_part"]

# The first bytes of a file in base64, for data whose type nobody said (Ollama's `images`).
_SIGNATURES = (("iVBOR", "image/png"), ("/9j/", "image/jpeg"), ("R0lGOD", "image/gif"), ("UklGR", "image/webp"))

# Formats of `input_audio`, by every media type that clients write for them.
_AUDIO_FORMATS = {
    "audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/vnd.wave": "wav",
    "audio/mp3": "mp3", "audio/mpeg": "mp3",
}  # fmt: skip


def written_content(parts: Sequence[Part], plain: bool, destination: Destination) -> str | list[dict[str, Any]] | None:
    """`content` of a message; None where nothing is left. Parts of another kind than content are not looked at."""
    if not destination.is_same:
        parts = [part for part in parts if not (isinstance(part, Text) and not part.text)]
    if plain and not parts:
        return ""
    written = [written_part(part, destination) for part in parts]
    if len(written) == 1 and (plain or not destination.is_same) and written[0].keys() == {"type", "text"}:
        text: str = written[0]["text"]
        return text
    return written or ([] if destination.is_same else None)


def written_part(part: Part, destination: Destination) -> dict[str, Any]:
    """One part. Raises `Problem` for what cannot be carried."""
    written: dict[str, Any]
    match part:
        case Text():
            written = {"type": "text", "text": part.text}
            _lose_text(part, destination)
        case Image():
            image: dict[str, Any] = {"url": _url(part, "image", destination)}
            if part.detail is not None:
                image["detail"] = part.detail
            written = {"type": "image_url", "image_url": image}
        case Audio():
            written = {"type": "input_audio", "input_audio": _audio(part, destination)}
        case Video():
            if not (destination.flavour.video or destination.is_verbatim):
                raise destination.losses.refuse(part.path, "this chat server takes no video")
            written = {"type": "video_url", "video_url": {"url": _url(part, "video", destination)}}
        case File():
            written = _file(part, destination)
        case _:
            kind = getattr(part, "kind", type(part).__name__.lower())
            raise destination.losses.refuse(part.path, f"a {kind} part has no place in a chat message")
    _mark(written, part.cache, destination)
    return _with_extra(written, part.extra, part.path, destination)


def media_type_of(source: Source) -> str | None:
    """What was said, else what the first bytes say."""
    if source.media_type is not None or source.data is None:
        return source.media_type
    return next((kind for begin, kind in _SIGNATURES if source.data.startswith(begin)), None)


def _lose_text(part: Text, destination: Destination) -> None:
    if part.citations and not destination.is_same:
        destination.losses.report("dropped", f"{part.path}.citations", "chat messages hold no citations of history")
    if part.signature is not None:
        destination.losses.report("dropped", part.path, "chat messages hold no signature on text")


def _mark(written: dict[str, Any], cache: CacheMark | None, destination: Destination) -> None:
    """A cache mark, in the form that the client used or the server knows; elsewhere it only costs money."""
    if cache is None:
        return
    name = cache.path.rpartition(".")[2]
    if not (destination.is_verbatim and name in ("prompt_cache_breakpoint", "cache_control")):
        name = destination.flavour.cache_field
    if name == "cache_control":
        written[name] = {"type": "ephemeral"} | ({} if cache.ttl is None else {"ttl": cache.ttl})
    elif name and (destination.is_same or destination.capabilities.cache_breakpoints):
        # The lifetimes are not the same words: another dialect's "5m" and "1h" become the request's own.
        ttl = cache.ttl if cache.ttl in ("30m", "12h") or destination.is_same else None
        written[name] = {"mode": "explicit"} | ({} if ttl is None else {"ttl": ttl})


def _with_extra(written: dict[str, Any], extra: Extra | None, path: str, destination: Destination) -> dict[str, Any]:
    if extra is None:
        return written
    if extra.dialect != "chat":
        destination.lose_extra(extra, path)
        return written
    for name, value in extra.fields.items():
        inner = written.get(name)
        written[name] = {**inner, **value} if isinstance(inner, dict) and isinstance(value, dict) else value
    return written


def _url(part: Media, noun: str, destination: Destination) -> str:
    source = part.source
    if source.url is not None:
        return source.url
    if source.data is None:
        raise destination.losses.refuse(part.path, f"the {noun}'s file_id is known to another provider only")
    media_type = media_type_of(source)
    return f"data:{media_type or 'application/octet-stream'};base64,{source.data}"


def _audio(part: Audio, destination: Destination) -> dict[str, Any] | str:
    source = part.source
    if part.format is None and destination.is_same:  # Mistral's bare string
        if source.url is not None:
            return source.url
        return (source.data or "") if source.media_type is None else _url(part, "audio", destination)
    form = part.format or _AUDIO_FORMATS.get(source.media_type or "")
    if source.data is None or form is None:
        found = "a link" if source.data is None else source.media_type or "an unknown type"
        raise destination.losses.refuse(part.path, f"chat takes audio as base64 in wav or mp3, found {found}")
    return {"data": source.data, "format": form}


def _file(part: File, destination: Destination) -> dict[str, Any]:
    if part.citations:
        destination.losses.report("dropped", f"{part.path}.citations", "chat documents cannot be cited")
    if part.text is not None:
        headings = [line for line in (part.name, part.context) if line]
        return {"type": "text", "text": "\n\n".join([*headings, part.text])}
    if part.context:
        destination.losses.report("dropped", f"{part.path}.context", "chat files have no context")
    source = part.source
    as_it_came = destination.is_verbatim and part.path.endswith(".document_url")
    if (destination.flavour.document_url or as_it_came) and source.file_id is None:
        written: dict[str, Any] = {"type": "document_url", "document_url": _url(part, "document", destination)}
        return written if part.name is None else {**written, "document_name": part.name}
    file: dict[str, Any] = {}
    if part.name is not None:
        file["filename"] = part.name
    if source.data is not None:
        if source.media_type is None:
            file["file_data"] = source.data
        else:
            file["file_data"] = _url(part, "document", destination)
            if not destination.is_same:  # required beside the data (a 400 without it)
                file.setdefault("filename", "document." + source.media_type.rpartition("/")[2])
    elif source.file_id is not None and destination.is_same:
        file["file_id"] = source.file_id
    elif source.url is not None and destination.is_same:
        file["file_data"] = source.url
    elif source.url is not None:
        destination.losses.refuse_soft(part.path, "chat takes documents as base64, not as links")
        return {"type": "text", "text": source.url}
    else:
        raise destination.losses.refuse(part.path, "the document's file_id is known to another provider only")
    return {"type": "file", "file": file}
