"""Generated audio and images in a chat answer: wire → universal. Total, like `answer_in`.

OpenAI speaks in `audio`, whose format is the request's affair and not repeated: the media type is ``audio/*``. Its
id, transcript and expiry stay in `extra`. OpenRouter gives pictures in `images`.
"""

from __future__ import annotations

from typing import Any

from ds2api.dialects.chat.answer_in import rest_of
from ds2api.dialects.data_urls import read_source
from ds2api.universal.parts import Audio, Extra, Image, Part, Source

__all__ = ["AUDIO_TYPE", "audio_fields", "audio_of", "images_of"]

AUDIO_TYPE = "audio/*"


def audio_fields(value: Any) -> tuple[str, dict[str, Any]] | None:
    """The data of `audio` and what else it says; None where it says nothing (Snowflake sends it empty)."""
    if not isinstance(value, dict):
        return None
    data = value.get("data")
    fields = {name: one for name, one in rest_of(value, ("data",)).items() if one != 0}
    data = data if isinstance(data, str) else ""
    return (data, fields) if data or fields else None


def audio_of(value: Any) -> Audio | None:
    found = audio_fields(value)
    if found is None:
        return None
    data, fields = found
    return Audio(Source(data=data, media_type=AUDIO_TYPE), extra=Extra("chat", fields))


def images_of(value: Any) -> list[Part]:
    images: list[Part] = []
    for entry in value if isinstance(value, list) else ():
        link = entry.get("image_url") if isinstance(entry, dict) else None
        url = link.get("url") if isinstance(link, dict) else link
        if isinstance(url, str) and url:
            images.append(Image(read_source(url)))
    return images
