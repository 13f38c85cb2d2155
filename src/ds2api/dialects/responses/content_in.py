"""Content parts of messages and tool outputs: wire → universal.

Known types are read strictly. One that is not known is an `Opaque`: its own provider may know it, and every other
dialect refuses it by name.
"""

from __future__ import annotations

from typing import Any

from ds2api.dialects.data_urls import read_source
from ds2api.dialects.reading import Fields, at, maybe_list, text_of, wrong_type
from ds2api.dialects.responses.origin import NAME, came_from
from ds2api.universal.errors import Problem
from ds2api.universal.parts import Audio, CacheMark, Citation, Extra, File, Image, Opaque, Part, Refusal, Source, Text

__all__ = ["read_citation", "read_content"]

_AUDIO_TYPES = {"mp3": "audio/mpeg"}


def read_content(value: Any, path: str) -> tuple[list[Part], bool]:
    """The parts of a `content` or `output`, and whether it was one string."""
    if isinstance(value, str):
        return [Text(value, path=path)], True
    if not isinstance(value, list):
        raise wrong_type(value, path, "a string or an array of content parts")
    return [_read_part(part, at(path, index)) for index, part in enumerate(value)], False


def read_citation(annotation: Any) -> Citation | None:
    """One of `annotations`. Total: None for what is no object. As it came, it stands in `extra`."""
    if not isinstance(annotation, dict):
        return None

    def text(name: str) -> str | None:
        value = annotation.get(name)
        return value if isinstance(value, str) else None

    def place(name: str) -> int | None:
        value = annotation.get(name)
        return value if isinstance(value, int) else None

    is_link = annotation.get("type") == "url_citation"
    return Citation(
        "url" if is_link else "file",
        text("url") if is_link else None,
        text("title") or text("filename"),
        None,
        place("start_index"),
        place("end_index"),
        came_from(annotation),
    )


def _read_part(value: Any, path: str) -> Part:
    fields = Fields(value, path)
    kind = fields.text("type")
    cache = _read_cache(fields)
    part: Part
    match kind:
        case "input_text" | "output_text" | "text":
            part = Text(fields.text("text"), cache=cache, path=path)
            fields.take("logprobs")
            annotations = maybe_list(fields.take("annotations"), fields.at("annotations")) or []
            part.citations = [one for one in map(read_citation, annotations) if one is not None]
        case "refusal":
            part = Refusal(fields.text("refusal"), path=path)
        case "input_image":
            url, file_id = _link(fields, "image_url"), fields.maybe_text("file_id")
            if url is None and file_id is None:
                raise Problem.bad_request(f'{path}: expected "image_url" or "file_id"', path)
            source = read_source(url) if url is not None else Source(file_id=file_id)
            part = Image(source, cache=cache, path=path, detail=fields.maybe_text("detail"))
        case "input_file":
            part = _read_file(fields, cache)
        case "input_audio":
            inner = Fields(fields.object("input_audio"), fields.at("input_audio"))
            form = inner.text("format")
            source = Source(data=inner.text("data"), media_type=_AUDIO_TYPES.get(form, f"audio/{form}"))
            part = Audio(source, cache=cache, path=path, format=form)
        case _:
            return Opaque(NAME, kind, value, path)
    part.extra = Extra(NAME, rest) if (rest := fields.said()) else None
    return part


def _read_cache(fields: Fields) -> CacheMark | None:
    mark = fields.maybe_object("prompt_cache_breakpoint")
    if mark is None:
        return None
    path = fields.at("prompt_cache_breakpoint")
    return CacheMark(Fields(mark, path).maybe_text("ttl"), path)


def _link(fields: Fields, name: str) -> str | None:
    """A URL; chat's object around one is read as well, since many clients write it."""
    value = fields.take(name)
    if isinstance(value, dict):
        value = value.get("url")
    return None if value is None else text_of(value, fields.at(name))


def _read_file(fields: Fields, cache: CacheMark | None) -> File:
    data, url = fields.maybe_text("file_data"), fields.maybe_text("file_url")
    file_id, name = fields.maybe_text("file_id"), fields.maybe_text("filename")
    fields.take("detail")  # how finely pages are looked at: a hint without a word elsewhere
    if data is not None:
        source = read_source(data) if data[:5].lower() == "data:" else Source(data=data)
    elif url is not None:
        source = Source(url=url)
    elif file_id is not None:
        source = Source(file_id=file_id)
    else:
        raise Problem.bad_request(f'{fields.path}: expected "file_data", "file_url" or "file_id"', fields.path)
    return File(source, cache=cache, path=fields.path, name=name)
