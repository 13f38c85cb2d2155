"""An answer as it happens: the events that every protocol's stream is read into and written from.

The grammar that a decoder promises and an encoder may rely on:

    stream := Started (part | UsageSeen | Logprobs | Alive)* Finished* (UsageSeen)* Ended
            | … Failed                                             at any point, and then nothing
    part   := PartStarted delta* PartFinished

* `part` numbers count up from 0 in order of appearance, over all choices; parts of one choice may be open at
  the same time (chat allows interleaved tool calls): an encoder that cannot serialises them (`Sequencer`).
* `Finished` comes once a choice; usage may come before or after it, so an encoder whose last event holds both
  waits for `Ended`.
* `Ended` is said only where the provider really ended (its terminal marker, or a finish and then the end of
  the bytes). A stream that stops in the middle is `Failed`, never a silent end.

Classes with slots and no behaviour: they are made a thousand times a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ds2api.universal.errors import Error
from ds2api.universal.parts import Citation, Extra, Sealed
from ds2api.universal.usage import Usage

__all__ = [
    "CONTENT", "DELTAS", "Alive", "ArgumentsDelta", "CitationSeen", "Delta", "Ended", "Event", "Failed", "Finished",
    "FinishReason", "Logprobs", "MediaSeen", "OpaqueSeen", "PartFinished", "PartKind", "PartStarted", "ReasoningDelta",
    "ReasoningSealed", "Started", "TextDelta", "UsageSeen",
]  # fmt: skip

PartKind = Literal["text", "reasoning", "call", "refusal", "opaque", "media"]

FinishReason = Literal[
    "stop", "stop_sequence", "length", "context_full", "tool_use", "refusal", "content_filter", "pause",
    "malformed_tool", "compaction", "continuation", "other",
]  # fmt: skip


@dataclass(slots=True)
class Started:
    """The provider has begun. `usage` where it is known already (Anthropic). No content yet."""

    id: str | None = None
    model: str | None = None
    created: int | None = None  # seconds since the epoch
    usage: Usage | None = None
    extra: Extra | None = None


@dataclass(slots=True)
class PartStarted:
    """A part opens. `id` and `name` belong to calls; `custom` calls take free text. `summary`: the reasoning
    that follows is a summary."""

    part: int
    kind: PartKind
    choice: int = 0
    id: str | None = None
    name: str | None = None
    custom: bool = False
    summary: bool = False
    extra: Extra | None = None


@dataclass(slots=True)
class TextDelta:
    """More text of a "text" or "refusal" part."""

    part: int
    text: str
    choice: int = 0


@dataclass(slots=True)
class ReasoningDelta:
    part: int
    text: str
    choice: int = 0


@dataclass(slots=True)
class ReasoningSealed:
    """The proof of a reasoning part, whole; on a text or call part it is that part's signature."""

    part: int
    sealed: Sealed
    choice: int = 0


@dataclass(slots=True)
class ArgumentsDelta:
    """More of a call's arguments: JSON text, or free text of a custom tool. The pieces concatenate."""

    part: int
    text: str
    choice: int = 0


@dataclass(slots=True)
class CitationSeen:
    part: int
    citation: Citation
    choice: int = 0


@dataclass(slots=True)
class MediaSeen:
    """A piece of generated media. Several pieces of one part concatenate (`data` base64)."""

    part: int
    media_type: str | None
    data: str
    choice: int = 0
    extra: Extra | None = None


@dataclass(slots=True)
class OpaqueSeen:
    """Something that only `dialect` knows: a whole part ("part" is its own), or a side note (`part` None)."""

    dialect: str
    kind: str
    data: dict[str, Any]
    part: int | None = None
    choice: int = 0


@dataclass(slots=True)
class Logprobs:
    """Token log-probabilities in chat's shape (`content` / `refusal` lists), which all others map to."""

    tokens: dict[str, Any]
    choice: int = 0


@dataclass(slots=True)
class PartFinished:
    part: int
    choice: int = 0


@dataclass(slots=True)
class UsageSeen:
    """Counters so far, cumulative: `Usage.merge` them."""

    usage: Usage


@dataclass(slots=True)
class Finished:
    """A choice is complete. `native` is the provider's own word, for its own dialect and the log.

    A reader gives `tool_use` whenever the choice holds calls and nothing cut it short, whatever word the
    provider used (`streams.md` §9.7).
    """

    reason: FinishReason
    choice: int = 0
    stop_sequence: str | None = None
    details: Any = None
    native: str | None = None
    extra: Extra | None = None


@dataclass(slots=True)
class Ended:
    """The provider's stream is over, complete."""

    extra: Extra | None = None


@dataclass(slots=True)
class Failed:
    error: Error


@dataclass(slots=True)
class Alive:
    """A ping or comment: a sign of life without content."""


Event = (
    Started | PartStarted | TextDelta | ReasoningDelta | ReasoningSealed | ArgumentsDelta | CitationSeen
    | MediaSeen | OpaqueSeen | Logprobs | PartFinished | UsageSeen | Finished | Ended | Failed | Alive
)  # fmt: skip

# More of an open part's text. The second is for `isinstance`, which takes twice as long for the first.
Delta = TextDelta | ReasoningDelta | ArgumentsDelta
DELTAS = (TextDelta, ReasoningDelta, ArgumentsDelta)

# The events that prove an answer has begun: the 200 waits for one of them. `PartStarted` of a call is content
# (its name is), of text it is not; `Finished` is, so that an empty answer that ends properly gets its 200.
CONTENT = (TextDelta, ReasoningDelta, ReasoningSealed, ArgumentsDelta, CitationSeen, MediaSeen, Finished)
