"""What every dialect offers: the doors of one wire protocol, and the types that pass through them.

A dialect is a folder with these doors, joined by one object that satisfies `Dialect` (the registry is typed by
it, so the type checker names a missing one; `tests/dialects/test_conformance.py` holds each to what is promised here).
Everything is pure: bytes and objects in, bytes and objects out; the clock and the ids come in through `Asker`
and `Target`, so equal input gives equal output.

Wherever a door takes a `path`, it is the client's whole request target, its query included: some protocols say the
model and the form of the answer there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ds2api.universal.embeddings import EmbeddingRequest, Embeddings
from ds2api.universal.envelope import Sealer
from ds2api.universal.errors import Error
from ds2api.universal.events import Delta, Event
from ds2api.universal.losses import Loss, LossPolicy
from ds2api.universal.request import Request
from ds2api.universal.response import Response
from ds2api.universal.restore import Restore
from ds2api.universal.usage import Usage

if TYPE_CHECKING:
    from ds2api.dialects.framed_reader import FramedReader

__all__ = [
    "AnswerKeeper", "Around", "Asker", "Decoder", "Dialect", "Embedder", "Encoder", "ModelInfo", "Operation",
    "Outgoing", "Peek", "Route", "Tap", "Target", "TokenCounter", "WrittenError",
]  # fmt: skip

Headers = Sequence[tuple[str, str]]

# "relay": a request that names a model and that only a provider of the same dialect can answer; "stored": about an
# answer that was given before, by its id; "note": the dialect's own answer, which asks nobody.
Operation = Literal["generate", "count_tokens", "embed", "relay", "stored", "models", "model", "note"]


@dataclass(frozen=True, slots=True)
class Route:
    """A path that belongs to a dialect: ``Route("POST", "/v1/chat/completions", "generate")``.

    ``{model}`` matches one or more segments, ``{id}`` exactly one.
    """

    method: str
    path: str
    operation: Operation


@dataclass(slots=True)
class Peek:
    """What routing and the pool need of a request, read without building it."""

    model: str
    stream: bool
    output_limit: int | None = None  # tokens
    text_bytes: int = 0  # of all text in the request, for the estimate
    media_count: int = 0
    choices: int = 1
    affinity: str | None = None  # equal for the turns of one conversation, None where nothing tells
    pins: tuple[str, ...] = ()  # our own envelopes found in the request, for the pool's hard pins
    wants_usage: bool = False  # the client asked for usage in its stream (chat), or always has it (others)
    form: str = ""  # which of a dialect's forms of an answer this client wants; "" is the usual one
    can_relay: bool = True  # whether a provider of the same dialect would answer in that very form
    previous_id: str | None = None  # the id of an answer that this request goes on from (`previous_response_id`)
    local_answer: bytes | None = None  # the whole answer, where nobody need be asked for it


@dataclass(slots=True)
class Target:
    """Where a translated request goes, and what is known of that place."""

    provider: str
    model: str  # the provider's name of it
    flavour: str = ""  # "" is the plain dialect; else a row of the dialect's flavour table
    account: str = ""  # a hash of the account, for envelopes
    losses: LossPolicy = "report"
    default_max_output_tokens: int | None = None  # for dialects that require one
    anthropic_version: str = "2023-06-01"
    capabilities: Mapping[str, Any] = field(default_factory=dict)  # overrides what the model's name tells
    sealer: Sealer | None = None


@dataclass(slots=True)
class Outgoing:
    """A request ready for a provider. `path` follows the version prefix (``/chat/completions``); `headers` are
    the dialect's own (versions, betas), never credentials."""

    path: str
    body: bytes
    headers: list[tuple[str, str]] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    restore: Restore = field(default_factory=Restore)


@dataclass(slots=True)
class Asker:
    """Who waits for an answer, and what shapes it.

    `model` is the name that the client said: it is what the answer shows. `new_id()` gives an unguessable tail
    for ids (letters and digits), `created` is seconds since the epoch. `input_estimate` is the gateway's guess
    of the prompt's tokens. `provider`, `upstream_model`, `account` and `sealer` are for envelopes.
    """

    model: str
    request_id: str
    created: int
    new_id: Callable[[], str]
    stream: bool = True
    wants_usage: bool = False
    input_estimate: int | None = None
    provider: str = ""
    upstream_model: str = ""
    account: str = ""
    sealer: Sealer | None = None
    request: Request | None = None
    form: str = ""  # `Peek.form`
    previous_id: str | None = None  # of the answer that the gateway itself put in front of the request
    keep: Callable[[dict[str, Any]], None] | None = None  # takes the finished answer, where it can be asked for again


@dataclass(frozen=True, slots=True)
class WrittenError:
    """An error in a dialect's own shape, ready to send."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One entry of a model list. `created` is seconds since the epoch. `context_tokens` is the size of its window, and
    `abilities` are words of "tools", "vision", "thinking"; None where nobody said."""

    id: str
    owner: str
    created: int = 0
    display_name: str | None = None
    context_tokens: int | None = None
    abilities: tuple[str, ...] | None = None


@dataclass(slots=True)
class Around:
    """What an encoder writes before and behind the JSON string of a delta. With a `number`, `after` holds ``%d`` for
    it, and whoever writes a delta counts it up. `joins`: the texts of one read leave as one."""

    before: bytes
    after: bytes
    number: int | None = None
    joins: bool = False


class Decoder(Protocol):
    """Reads one provider stream. The same events for any cut of the same bytes.

    Never raises for what a provider sends: a broken stream is a `Failed` event, after which `feed` and `end`
    give nothing more. Unknown events and fields are kept for the same dialect or ignored, never fatal.
    """

    @property
    def framed(self) -> FramedReader | None:
        """What takes the deltas in a known frame, if this dialect has one."""
        ...

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes; give the events that they complete."""
        ...

    def end(self) -> list[Event]:
        """The bytes are over. Gives `Ended` if the stream was complete and that was not said yet, `Failed`
        (kind UPSTREAM_TRUNCATED) if it was not, nothing if either was given before."""
        ...


class Encoder(Protocol):
    """Writes one client stream: owns its index allocation, ids, terminal event, error and keep-alive form."""

    losses: list[Loss]  # what this answer could not carry so far
    stream_type: str  # the content-type of what it writes
    tells_errors: (
        bool  # a stream has words for a failure; where it has none it is cut, which no client takes for an end
    )

    def encode(self, events: Sequence[Event]) -> bytes:
        """The bytes for `events`; may hold some back. `Ended` gives the terminal event, `Failed` the error
        form; after either nothing more is written. Losses known by then go out before the terminal event in
        the dialect's form (`: x-ds2api-warning …`)."""
        ...

    def around(self, delta: Delta) -> Around | None:
        """What stands around the text of more such deltas, as long as nothing else is encoded; None where that is not
        all there is to one. If somebody writes them so, `encode` is given all of them as one delta, whose bytes are
        not sent, before anything else."""
        ...

    def alive(self) -> bytes:
        """A keep-alive in the client's form: legal between any two writes after the head."""
        ...


class Tap(Protocol):
    """Watches a relayed stream without changing it (but for one chunk, see `forward`)."""

    content_seen: bool  # an event with content came: the 200 may leave
    ended: bool  # the terminal marker came
    error: Error | None  # the provider's own in-stream error (taken out: the lane writes it), or a broken stream
    usage: Usage | None
    answer_id: str | None  # the provider's id of the answer, where a later request may name it

    @property
    def removed(self) -> bytes:
        """What is left out of each event that passes; b"" where nothing is."""
        ...

    def forward(self, data: bytes) -> bytes:
        """What of `data` the client gets: the same bytes, less a usage chunk that only the gateway asked for.
        An unfinished event may be held back and leaves with its rest."""
        ...

    @property
    def skippable(self) -> bytes:
        """How the events of this stream end, if its deltas are known by their frame and nothing is held back: then
        `skip` may be asked. Else b""."""
        ...

    def skip(self, events: list[bytes]) -> bool:
        """In place of `forward`, for whole events without their ends: whether all are deltas in the known frame. False:
        nothing was noted."""
        ...

    def end(self) -> bytes:
        """The bytes are over: what was held back. Sets `error` (UPSTREAM_TRUNCATED) if the end was not seen."""
        ...


class TokenCounter(Protocol):
    """How a dialect asks how many tokens a request would be, and how it answers."""

    def relay_path(self, path: str, model: str) -> str:
        """Where a provider of the same dialect is asked, after the version prefix."""
        ...

    def write_question(self, request: Request, target: Target) -> Outgoing:
        """The question for a provider, for a client of any dialect. Raises `Problem` as `Dialect.write_request`."""
        ...

    def read_count(self, body: dict[str, Any]) -> int:
        """The number in a provider's answer. Raises `Problem` (UPSTREAM_BROKEN) if there is none."""
        ...

    def write_count(self, count: int) -> bytes: ...


class Embedder(Protocol):
    """How a dialect asks for embeddings, and how it answers. The question's `Peek` is as of any other request."""

    def peek(self, body: dict[str, Any], path: str) -> Peek: ...

    def relay_path(self, path: str, model: str) -> str:
        """Where a provider of the same dialect is asked, after the version prefix."""
        ...

    def rewrite(self, raw: bytes, body: dict[str, Any], path: str, model: str) -> bytes:
        """The relayed body: `raw` with the model exchanged wherever it stands, every other byte as it came."""
        ...

    def read_request(self, body: dict[str, Any], path: str) -> EmbeddingRequest:
        """Raises `Problem` naming the field's path."""
        ...

    def write_request(self, request: EmbeddingRequest, target: Target) -> Outgoing: ...

    def read_response(self, body: dict[str, Any]) -> Embeddings:
        """Raises `Problem` (UPSTREAM_BROKEN, or the provider's error under a 200)."""
        ...

    def write_response(self, embeddings: Embeddings, request: EmbeddingRequest, asker: Asker) -> bytes: ...


class AnswerKeeper(Protocol):
    """How a dialect speaks of answers that were given before: what the gateway itself keeps of them and replays."""

    def wants_keeping(self, body: dict[str, Any]) -> bool:
        """Whether the client of the request `body` left it to the server to keep the answer."""
        ...

    def items_of(self, body: dict[str, Any], new_id: Callable[[], str]) -> list[dict[str, Any]]:
        """What the client said in this request, item by item, each with an id."""
        ...

    def output_of(self, answer: dict[str, Any]) -> list[dict[str, Any]]:
        """The items of a finished answer (`Asker.keep`)."""
        ...

    def id_of(self, answer: dict[str, Any]) -> str: ...

    def replayed(self, body: dict[str, Any], items: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The request with all that was said before in front of what it says itself, and no word of an earlier
        answer's id."""
        ...

    def write_items(self, items: Sequence[dict[str, Any]], query: Mapping[str, str]) -> bytes: ...

    def write_deleted(self, id_: str) -> bytes: ...

    def unknown_previous(self, id_: str) -> Error:
        """Nobody knows the answer that a request goes on from."""
        ...


class Dialect(Protocol):
    """One wire protocol, both ways. `name` is the word of the configuration ("chat", "messages")."""

    name: str
    version_prefix: str  # what a base URL without a version gets: "/v1"
    generate_path: str  # after the prefix: "/chat/completions"
    stream_type: str  # content-type of a provider's streams
    request_id_header: str  # where its clients look for the provider's id: "x-request-id"
    routes: tuple[Route, ...]  # the paths that its clients ask for
    token_counter: TokenCounter | None  # None: there is no such question in this dialect
    embedder: Embedder | None  # likewise
    proves_text: bool  # whether a text may be proved by itself, without a thought before it
    answer_keeper: AnswerKeeper | None  # likewise

    def claims(self, headers: Mapping[str, str], query: str) -> bool:
        """Whether a request on a path that several dialects have is surely from a client of this one."""
        ...

    def peek(self, body: dict[str, Any], path: str) -> Peek:
        """What routing needs. Raises `Problem` (path of the field) for wrong types of what it reads, a missing
        model included."""
        ...

    def must_ask_usage(self, flavour: str) -> bool:
        """Whether a stream tells its usage only when asked, and a server of this flavour takes the question."""
        ...

    def wants_thoughts(self, flavour: str) -> bool:
        """Whether a provider of this flavour wants the text of its own earlier thoughts again, proved or not."""
        ...

    def fits(self, body: dict[str, Any], target: Target) -> bool:
        """Whether a provider of the target's flavour takes a request of this dialect as its client wrote it. False
        where the flavour is known to refuse it: it is then written anew."""
        ...

    def relay_path(self, path: str, model: str) -> str:
        """Where a relayed request goes, after the version prefix: the client's own path, with the provider's name
        of the model where it is said there."""
        ...

    def rewrite(self, raw: bytes, body: dict[str, Any], model: str, *, ask_usage: bool) -> bytes:
        """The relayed body: `raw` with the value of `model` exchanged and, with `ask_usage`, what makes the
        provider report usage; every other byte as it came. `body` is `raw`, parsed."""
        ...

    def read_request(self, body: dict[str, Any], headers: Mapping[str, str], path: str) -> Request:
        """A client's request. Raises `Problem` naming the field's path; unknown fields land in `extra`."""
        ...

    def write_request(self, request: Request, target: Target) -> Outgoing:
        """The same for a provider. Raises `Problem` for what cannot be carried, reports the rest as losses.
        `model` comes first in the body; equal requests give equal bytes."""
        ...

    def relay_headers(self, headers: Mapping[str, str], target: Target) -> list[tuple[str, str]]:
        """Which of a client's own headers a relayed request carries on (`anthropic-beta`, …)."""
        ...

    def read_response(self, body: dict[str, Any]) -> Response:
        """A provider's whole answer. Raises `Problem` (UPSTREAM_BROKEN, or the provider's error under a 200)."""
        ...

    def read_usage(self, body: dict[str, Any]) -> Usage | None:
        """All that relaying wants to know of a provider's whole answer: its usage, and whether it is an answer
        at all. Raises `Problem` as `read_response` does for an error under a 200 and for what is no answer."""
        ...

    def write_response(self, response: Response, asker: Asker) -> tuple[bytes, list[Loss]]:
        """The same for a client, and what it could not carry."""
        ...

    def decoder(self, flavour: str = "") -> Decoder: ...

    def encoder(self, asker: Asker) -> Encoder: ...

    def tap(self, *, strip_usage: bool) -> Tap:
        """`strip_usage`: the usage chunk was asked for by the gateway alone and is taken out again."""
        ...

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Error:
        """A provider's error answer, whatever its shape: total, never raises. `fault` and `kind` are this
        dialect's reading; `status`, `code`, `type`, `message`, `param`, `details` are what was said."""
        ...

    def write_error(self, error: Error, request_id: str) -> WrittenError:
        """Total over `Kind`. Includes `retry-after` (and its kin) where `retry_after_s` is known."""
        ...

    def write_models(self, models: Sequence[ModelInfo], query: Mapping[str, str], path: str) -> bytes: ...

    def write_model(self, model: ModelInfo, path: str) -> bytes: ...

    def write_note(self, path: str) -> bytes:
        """The answer to an operation "note". Raises `Problem` (NOT_FOUND) in a dialect that has none."""
        ...
