"""What a turn is made of: typed parts.

One class per kind of content, the same for requests and answers. A part knows where it stood in the client's
request (`path`), so that a loss or a refusal can name it. What only one dialect knows about a part is kept in
`extra` under that dialect's name and written back only by it; a part that only one dialect knows at all (a
server tool's result, say) is an `Opaque`.

Bytes that prove something (signatures, encrypted reasoning) are `Sealed`: never decoded, never re-encoded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "Audio", "CacheMark", "Call", "Citation", "Extra", "File", "Image", "Media", "Opaque", "Part", "Reasoning",
    "Refusal", "Result", "Sealed", "Source", "Text", "Video",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Extra:
    """Fields of one dialect that the universal format has no word for, as they came.

    `grave` names those whose loss most callers could not live with (`Losses.refuse_soft`); the others are
    reported. `quiet` holds what elsewhere cannot change the answer, so that its loss is none: only its own dialect
    looks at it. Only the dialect that reads a field knows which it is.
    """

    dialect: str
    fields: dict[str, Any]
    grave: frozenset[str] = frozenset()
    quiet: dict[str, Any] = field(default_factory=dict)

    def get(self, dialect: str) -> dict[str, Any]:
        """The fields, if they are `dialect`'s own; else nothing."""
        return self.fields if self.dialect == dialect else {}


@dataclass(frozen=True, slots=True)
class CacheMark:
    """Cache everything up to here. `ttl` is the client's own word ("5m", "1h", "30m"), None where not said."""

    ttl: str | None = None
    path: str = ""


@dataclass(frozen=True, slots=True)
class Sealed:
    """Bytes that only their maker can read: a thinking signature, encrypted reasoning, a thought signature.

    `kind` tells whose form it is; `provider`, `model` and `account` are known only when it came back to us in
    our own envelope (`universal.envelope`), else None.
    """

    kind: Literal["anthropic_signature", "anthropic_redacted", "openai_encrypted", "gemini_signature", "openrouter"]
    data: str
    provider: str | None = None
    model: str | None = None
    account: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where the bytes of an image, file, audio or video are: exactly one of the three.

    `data` is base64 without a ``data:`` prefix and without line breaks; `file_id` is known to one provider only.
    """

    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    media_type: str | None = None  # "image/png"; None where nobody said


@dataclass(frozen=True, slots=True)
class Citation:
    """A source that the model names for what it wrote.

    `start` and `end` are characters in the answer's text, where the provider gives such; Anthropic gives
    places in the *source* instead, which stay in `extra`.
    """

    kind: Literal["url", "document", "file"]
    url: str | None = None
    title: str | None = None
    cited_text: str | None = None
    start: int | None = None
    end: int | None = None
    extra: Extra | None = None


@dataclass(slots=True)
class Text:
    text: str
    citations: list[Citation] = field(default_factory=list)
    signature: Sealed | None = None
    cache: CacheMark | None = None
    path: str = ""
    extra: Extra | None = None


@dataclass(slots=True)
class Media:
    """What image, file, audio and video have in common."""

    source: Source
    cache: CacheMark | None = None
    path: str = ""
    extra: Extra | None = None


@dataclass(slots=True)
class Image(Media):
    detail: str | None = None  # low, high, auto, original


@dataclass(slots=True)
class File(Media):
    """A document: PDF or text. `text` holds a document given as plain text (no base64 detour)."""

    name: str | None = None
    text: str | None = None
    context: str | None = None
    citations: bool | None = None  # whether the model may cite it


@dataclass(slots=True)
class Audio(Media):
    format: str | None = None  # wav, mp3


@dataclass(slots=True)
class Video(Media):
    pass


@dataclass(slots=True)
class Call:
    """The model calls a tool.

    `arguments` is the JSON text as it came, or the free text of a custom tool (`custom`). Kept as text: the
    bytes are what caches and signatures are bound to, and a model's broken JSON must survive the trip.
    """

    id: str
    name: str
    arguments: str
    custom: bool = False
    signature: Sealed | None = None
    cache: CacheMark | None = None
    path: str = ""
    extra: Extra | None = None


@dataclass(slots=True)
class Result:
    """What a tool gave back. `name` is known only where the dialect says it."""

    call_id: str
    content: list[Part]
    is_error: bool | None = None
    name: str | None = None
    cache: CacheMark | None = None
    path: str = ""
    extra: Extra | None = None
    plain: bool = False  # the content came as one string, not as a list of parts


@dataclass(slots=True)
class Reasoning:
    """What the model thought: its text, the proof of it, or both. `redacted`: no text, only the proof."""

    text: str = ""
    sealed: Sealed | None = None
    summary: bool = False  # the text is a summary, not the thought itself
    redacted: bool = False
    id: str | None = None
    path: str = ""
    extra: Extra | None = None


@dataclass(slots=True)
class Refusal:
    text: str
    path: str = ""
    extra: Extra | None = None


@dataclass(slots=True)
class Opaque:
    """A part that only `dialect` knows: `data` as it came. Other dialects refuse or report it."""

    dialect: str
    kind: str
    data: dict[str, Any]
    path: str = ""


Part = Text | Image | File | Audio | Video | Call | Result | Reasoning | Refusal | Opaque
