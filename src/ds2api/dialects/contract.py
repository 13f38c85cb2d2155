"""What every dialect offers: the doors of one wire protocol, and the types that pass through them.

A dialect is a folder with these doors, joined by one `Dialect` (so the type checker names a missing one;
`tests/dialects/test_conformance.py` holds each to what is promised here).
Everything is pure: bytes and objects in, bytes and objects out; the clock and the ids come in through `Asker`
and `Target`, so equal input gives equal output.

Wherever a door takes a `path`, it is the client's whole request target, its query included: some protocols say the
model and the form of the answer there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ds2api.dialects.splice import with_model
from ds2api.universal.embeddings import EmbeddingRequest, Embeddings
from ds2api.universal.envelope import Sealer
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.events import Delta, Event
from ds2api.universal.losses import Loss, LossPolicy
from ds2api.universal.request import Request
from ds2api.universal.response import Response
from ds2api.universal.restore import Restore
from ds2api.universal.usage import Usage

if TYPE_CHECKING:
    from ds2api.dialects.framed_reader import FramedReader

__all__ = [
    "KEPT", "AnswerKeeper", "Around", "Asker", "Decoder", "Dialect", "Embedder", "Encoder", "ModelInfo", "Operation",
    "Outgoing", "Peek", "Route", "Tap", "Target", "TokenCounter", "WrittenError", "tap_of",
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
    it, and whoever writes a delta counts it up. `joins`: the texts of one read leave as one. `is_silent`: nothing is
    written of them, they are only kept."""

    before: bytes
    after: bytes
    number: int | None = None
    joins: bool = False
    is_silent: bool = False


KEPT = Around(b"", b"", is_silent=True)


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

    def forward(self, data: bytes) -> bytes:
        """What of `data` the client gets: the same bytes, less a usage chunk that only the gateway asked for.
        An unfinished event may be held back and leaves with its rest."""
        ...

    def shortcut(self, data: bytes) -> tuple[bytes, int]:
        """In place of `forward`, for bytes that begin with a chunk, framing and all: the client's chunks for the first
        of them, as far as each holds exactly one delta in a known frame, and how many bytes of `data` they were. Of
        the rest nothing was noted."""
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


class Rewrite(Protocol):
    def __call__(self, raw: bytes, body: dict[str, Any], model: str, *, ask_usage: bool) -> bytes: ...


class MakeTap(Protocol):
    def __call__(self, *, strip_usage: bool) -> Tap: ...


def tap_of(tap: Callable[[], Tap]) -> MakeTap:
    """For a dialect whose usage comes unasked, so that there is never one to take out."""

    def make(*, strip_usage: bool) -> Tap:
        return tap()

    return make


def _exchange_model(raw: bytes, body: dict[str, Any], model: str, *, ask_usage: bool) -> bytes:
    return with_model(raw, body, model)


def _nothing_there(path: str) -> bytes:
    raise Problem(Error(Fault.REQUEST, Kind.NOT_FOUND, f"there is nothing at {path[:200]!r}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One wire protocol, both ways: what is said of it, and its doors, each a function of the room that does it.
    `name` is the word of the configuration ("chat", "messages")."""

    name: str
    version_prefix: str  # what a base URL without a version gets: "/v1"
    generate_path: str  # after the prefix: "/chat/completions"
    stream_type: str = "text/event-stream"  # content-type of a provider's streams
    request_id_header: str = "x-request-id"  # where its clients look for the provider's id
    routes: tuple[Route, ...]  # the paths that its clients ask for
    token_counter: TokenCounter | None = None  # None: there is no such question in this dialect
    embedder: Embedder | None = None  # likewise
    answer_keeper: AnswerKeeper | None = None  # likewise
    proves_text: bool = False  # whether a text may be proved by itself, without a thought before it

    claims: Callable[[Mapping[str, str], str], bool] = lambda headers, query: False
    """Whether a request on a path that several dialects have is surely from a client of this one."""

    peek: Callable[[dict[str, Any], str], Peek]
    """What routing needs of (body, path). Raises `Problem` (path of the field) for wrong types of what it reads, a
    missing model included."""

    must_ask_usage: Callable[[str], bool] = lambda flavour: False
    """Whether a stream tells its usage only when asked, and a server of this flavour takes the question."""

    wants_thoughts: Callable[[str], bool] = lambda flavour: False
    """Whether a provider of this flavour wants the text of its own earlier thoughts again, proved or not."""

    fits: Callable[[dict[str, Any], Target], bool] = lambda body, target: True
    """Whether a provider of the target's flavour takes a request of this dialect as its client wrote it. False where
    the flavour is known to refuse it: it is then written anew."""

    relay_path: Callable[[str, str], str]
    """Where a relayed request goes (path, model), after the version prefix: the client's own path, with the provider's
    name of the model where it is said there."""

    rewrite: Rewrite = _exchange_model
    """The relayed body: `raw` with the value of `model` exchanged and, with `ask_usage`, what makes the provider
    report usage (nothing where it always does); every other byte as it came. `body` is `raw`, parsed."""

    read_request: Callable[[dict[str, Any], Mapping[str, str], str], Request]
    """A client's request (body, headers, path). Raises `Problem` naming the field's path; unknown fields land in
    `extra`."""

    write_request: Callable[[Request, Target], Outgoing]
    """The same for a provider. Raises `Problem` for what cannot be carried, reports the rest as losses. `model` comes
    first in the body; equal requests give equal bytes."""

    relay_headers: Callable[[Mapping[str, str], Target], list[tuple[str, str]]] = lambda headers, target: []
    """Which of a client's own headers a relayed request carries on (`anthropic-beta`, …)."""

    read_response: Callable[[dict[str, Any]], Response]
    """A provider's whole answer. Raises `Problem` (UPSTREAM_BROKEN, or the provider's error under a 200)."""

    read_usage: Callable[[dict[str, Any]], Usage | None]
    """All that relaying wants to know of a provider's whole answer: its usage, and whether it is an answer at all.
    Raises `Problem` as `read_response` does for an error under a 200 and for what is no answer."""

    write_response: Callable[[Response, Asker], tuple[bytes, list[Loss]]]
    """The same for a client, and what it could not carry."""

    decoder: Callable[[], Decoder]
    """For all flavours."""

    encoder: Callable[[Asker], Encoder]

    tap: MakeTap
    """`strip_usage`: the usage chunk was asked for by the gateway alone and is taken out again."""

    read_error: Callable[[int, Mapping[str, str], bytes], Error]
    """A provider's error answer (status, headers, body), whatever its shape: total, never raises. `fault` and `kind`
    are this dialect's reading; `status`, `code`, `type`, `message`, `param`, `details` are what was said."""

    write_error: Callable[[Error, str], WrittenError]
    """Total over `Kind`; with the request's id. Includes `retry-after` (and its kin) where `retry_after_s` is known."""

    write_models: Callable[[Sequence[ModelInfo], Mapping[str, str], str], bytes]
    """The list that the query of a path asks for."""

    write_model: Callable[[ModelInfo], bytes]

    write_note: Callable[[str], bytes] = _nothing_there
    """The answer to an operation "note". Raises `Problem` (NOT_FOUND) in a dialect that has none."""
