"""The rows of the hostile table: what a client sends, word for word, and what must become of it.

A row says what the RFCs demand, not what this gateway happens to do: where they leave a choice, every right outcome is
listed. `refused` means one error answer, a closed connection, and nothing at the upstream; `served` one 200, exactly
one request at the upstream, its body word for word, no field that belongs to one hop, and a connection that stands at
the border of a message afterwards (`referee` sends a canary behind it to see).
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = [
    "BODY", "CHAT", "OTHER_BODY", "Row", "chunked", "either", "fields", "pass_on", "post", "refused", "served",
]  # fmt: skip

CHAT = "/v1/chat/completions"
BODY = b'{"model":"m","messages":[{"role":"user","content":"x"}]}'
OTHER_BODY = b'{"model":"m","messages":[{"role":"user","content":"another"}]}'
# What a row may be answered with where it is refused, unless it says otherwise.
REFUSALS = (400,)


@dataclass(frozen=True)
class Outcome:
    """One right outcome. `answers` holds, for each final answer in order, the right statuses; `bodies` what must have
    reached the upstream; `closes` whether the connection ends (None: either)."""

    answers: tuple[tuple[int, ...], ...]
    bodies: tuple[bytes, ...] = ()
    closes: bool | None = None


@dataclass(frozen=True)
class Row:
    """`section` is of RFC 9112 unless it names another. `methods` tells whose answers have no body; `target` what must
    reach the upstream as target; `absent` and `present` are field names there; `interims` how many 100s come; `head`
    are lines that the last answer's head must hold; `ends` says that the client ends its side behind the data."""

    name: str
    section: str
    data: bytes
    outcomes: tuple[Outcome, ...]
    methods: tuple[str, ...] = ()
    target: str = ""
    absent: tuple[str, ...] = ()
    interims: int | None = None
    head: tuple[bytes, ...] = ()
    ends: bool = False
    is_slow: bool = False  # what decides is a time limit
    is_ours: bool = False  # asks what this gateway is for; no question to a plain proxy
    kind: str = field(default="", compare=False)


def fields(*lines: str) -> str:
    return "".join(f"{line}\r\n" for line in lines)


def post(
    *lines: str,
    line: str = f"POST {CHAT} HTTP/1.1",
    host: str | None = "Host: localhost",
    body: bytes = BODY,
    length: bool = True,
) -> bytes:
    """A request; right but for what a row puts into it. `length`: with the content-length of `body`."""
    first = [line] if host is None else [line, host]
    if length:
        first.append(f"Content-Length: {len(body)}")
    return fields(*first, "Content-Type: application/json", *lines, "").encode("latin-1") + body


def chunked(*chunks: bytes, lines: tuple[str, ...] = ()) -> bytes:
    """A request whose body is `chunks`, framing and all, as they are."""
    return post("Transfer-Encoding: chunked", *lines, length=False, body=b"".join(chunks))


def pass_on(path: str, *lines: str, method: str = "GET", version: str = "1.1", host: str | None = "localhost") -> bytes:
    """A request without a body for a path that is passed on as it is."""
    first = [f"{method} /providers/up{path} HTTP/{version}", *([] if host is None else [f"Host: {host}"])]
    return fields(*first, *lines, "").encode("latin-1")


def refused(name: str, section: str, data: bytes, *statuses: int, **more: object) -> Row:
    return Row(name, section, data, (Outcome((statuses or REFUSALS,), (), True),), **more)  # type: ignore[arg-type]


def served(name: str, section: str, data: bytes, *bodies: bytes, closes: bool | None = False, **more: object) -> Row:
    bodies = bodies or (BODY,)
    return Row(name, section, data, (Outcome(((200,),) * len(bodies), bodies, closes),), **more)  # type: ignore[arg-type]


def either(name: str, section: str, data: bytes, *statuses: int, body: bytes = BODY, **more: object) -> Row:
    """The RFC leaves it to the server."""
    outcomes = (Outcome((statuses or REFUSALS,), (), True), Outcome(((200,),), (body,)))
    return Row(name, section, data, outcomes, **more)  # type: ignore[arg-type]
