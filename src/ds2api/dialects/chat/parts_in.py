"""Content parts of a chat message: wire → universal.

A string is one text part (`Turn.plain` remembers that it was a string). Known types are read strictly; an unknown
one is refused by name, since nobody can say what losing it would mean. Vendors' parts that are read as well:
Mistral's `document_url`, bare `image_url` and `input_audio` strings and `thinking`; vLLM's `video_url`;
OpenRouter's `cache_control` and links in `file_data`.
"""

from __future__ import annotations

from typing import Any

from ds2api.dialects.chat.reasoning import thinking_part
from ds2api.dialects.data_urls import read_source
from ds2api.dialects.reading import Fields, at, shown, text_of, wrong_type
from ds2api.universal.errors import Problem
from ds2api.universal.parts import Audio, CacheMark, Extra, File, Image, Part, Refusal, Source, Text, Video

__all__ = ["read_content"]

_TYPES = (
    "text", "image_url", "input_audio", "file", "refusal", "video_url", "document_url", "thinking", "redacted_thinking",
)  # fmt: skip


def read_content(content: Any, path: str) -> tuple[list[Part], bool]:
    """The parts of a message's `content`, and whether it was a plain string. Null is no parts."""
    if content is None:
        return [], False
    if isinstance(content, str):
        return ([Text(content, path=path)] if content else []), True
    if not isinstance(content, list):
        raise wrong_type(content, path, "a string or an array of parts")
    return [_read_part(part, at(path, index)) for index, part in enumerate(content)], False


def _read_part(value: Any, path: str) -> Part:
    fields = Fields(value, path)
    kind = fields.text("type")
    cache = _read_cache(fields)
    part: Part
    match kind:
        case "text":
            part = Text(fields.text("text"), cache=cache, path=path)
        case "refusal":
            part = Refusal(fields.text("refusal"), path=path)
        case "image_url":
            url, image = _url_of(fields, "image_url")
            detail = image.maybe_text("detail") if image is not None else None
            part = Image(read_source(url), cache=cache, path=path, detail=detail)
            _keep(fields, image, "image_url")
        case "video_url":
            url, video = _url_of(fields, "video_url")
            part = Video(read_source(url), cache=cache, path=path)
            _keep(fields, video, "video_url")
        case "document_url":
            name = fields.maybe_text("document_name")
            # The path is the field's own: so a chat server gets the document in the form in which it came.
            source = read_source(fields.text("document_url"))
            part = File(source, cache=cache, path=fields.at("document_url"), name=name)
        case "input_audio":
            part = _read_audio(fields, cache)
        case "file":
            part = _read_file(fields, cache)
        case "thinking" | "redacted_thinking":
            return thinking_part(value, path)
        case _:
            accepted = ", ".join(f'"{one}"' for one in _TYPES)
            message = f"{fields.at('type')}: unknown part type {shown(kind)}; accepted are {accepted}"
            raise Problem.bad_request(message, fields.at("type"))
    rest = fields.said()
    if rest:
        part.extra = Extra("chat", rest)
    return part


def _read_cache(fields: Fields) -> CacheMark | None:
    for name in ("prompt_cache_breakpoint", "cache_control"):
        mark = fields.maybe_object(name)
        if mark is not None:
            inner = Fields(mark, fields.at(name))
            return CacheMark(inner.maybe_text("ttl"), fields.at(name))
    return None


def _url_of(fields: Fields, name: str) -> tuple[str, Fields | None]:
    value = fields.take(name)
    if isinstance(value, str):
        return value, None
    if not isinstance(value, dict):
        raise wrong_type(value, fields.at(name), 'an object with "url"')
    inner = Fields(value, fields.at(name))
    url = inner.text("url")
    if not url:
        raise Problem.bad_request(f"{inner.at('url')}: expected a URL, found an empty string", inner.at("url"))
    return url, inner


def _keep(fields: Fields, inner: Fields | None, name: str) -> None:
    """What nobody read inside of the object `name` stays for chat servers."""
    if inner is not None and (rest := inner.said()):
        fields.keep(name, rest)


def _read_audio(fields: Fields, cache: CacheMark | None) -> Audio:
    value = fields.take("input_audio")
    path = fields.at("input_audio")
    if isinstance(value, str):
        source = read_source(value) if value[:5] in {"data:", "http:", "https"} else Source(data=value)
        return Audio(source, cache=cache, path=fields.path)
    inner = Fields(value, path)
    data, form = inner.text("data"), inner.maybe_text("format")
    source = read_source(data) if data[:5] == "data:" else Source(data=data)
    if source.media_type is None and form is not None:
        source = Source(data=source.data, media_type={"mp3": "audio/mpeg"}.get(form, f"audio/{form}"))
    _keep(fields, inner, "input_audio")
    return Audio(source, cache=cache, path=fields.path, format=form)


def _read_file(fields: Fields, cache: CacheMark | None) -> File:
    inner = Fields(fields.object("file"), fields.at("file"))
    data, file_id, name = inner.maybe_text("file_data"), inner.maybe_text("file_id"), inner.maybe_text("filename")
    if data is not None:
        is_link = data[:5].lower() in {"data:", "http:", "https"}
        source = read_source(text_of(data, inner.at("file_data"))) if is_link else Source(data=data)
    elif file_id is not None:
        source = Source(file_id=file_id)
    else:
        raise Problem.bad_request(f'{inner.path}: expected "file_data" or "file_id"', inner.path)
    _keep(fields, inner, "file")
    return File(source, cache=cache, path=fields.path, name=name)
