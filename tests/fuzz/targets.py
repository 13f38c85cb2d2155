"""Every parser of what comes from outside, each as one function of bytes: what a fuzzer calls.

A target returns for whatever it is given, and raises only for a bug. What a parser is allowed to raise is caught here by
name. A parser that is fed in pieces is fed whole and in pieces, which must tell the same; the first two bytes say where
the pieces end. The corpus is what the golden cases hold, what the dialects write themselves, and `corpus/`.
"""

from __future__ import annotations

import itertools
import json
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ds2api import jsons
from ds2api.accounts import read_announced
from ds2api.accounts.announced import duration_s
from ds2api.config import ConfigError, from_mapping
from ds2api.dialects.contract import Asker, Dialect, Target
from ds2api.dialects.registry import DIALECTS
from ds2api.prompted import CallFinder
from ds2api.universal import events as ev
from ds2api.universal.envelope import Sealer
from ds2api.universal.errors import Problem
from ds2api.universal.parts import Call, Reasoning, Text
from ds2api.universal.response import Choice, Response, fold, play
from ds2api.universal.usage import Usage
from ds2api.wire.errors import PeerError
from ds2api.wire.framing import ChunkedReader, FramingError
from ds2api.wire.heads import HeadBuffer, RequestParser, parse_response
from ds2api.wire.settings import Limits
from ds2api.wire.sse import EventTooLarge, SseParser

__all__ = ["CORPUS", "TARGETS", "corpus_of"]

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
CASES = HERE.parent / "cases" / "requests"
LIMITS = Limits()
PATHS = {"gemini": "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"}
WALL_S = 1_800_000_000.0

Fuzz = Callable[[bytes], None]


def _pieces(data: bytes) -> tuple[bytes, list[bytes]]:
    """What is behind the first two bytes, and the same in pieces that they say."""
    first, second, rest = (data[0] + 1, data[1] + 1, data[2:]) if len(data) > 2 else (1, 1, b"")
    pieces, at = [], 0
    for size in itertools.cycle((first, second)):
        if at >= len(rest):
            return rest, pieces
        pieces.append(rest[at : at + size])
        at += size
    return rest, pieces


def _told(parse: Callable[[list[bytes]], Any], pieces: list[bytes], *allowed: type[Exception]) -> Any:
    """What `parse` tells of `pieces`; an error that it may raise is told too."""
    try:
        return parse(pieces)
    except allowed as error:
        return type(error).__name__


def _alike(parse: Callable[[list[bytes]], Any], data: bytes, *allowed: type[Exception]) -> None:
    whole, pieces = _pieces(data)
    one, many = _told(parse, [whole], *allowed), _told(parse, pieces, *allowed)
    assert one == many, f"whole: {one!r}; in pieces: {many!r}"


# -- the wire


def request_head(data: bytes) -> None:
    def parse(pieces: list[bytes]) -> list[Any]:
        buffer, parser = HeadBuffer(LIMITS, for_requests=True), RequestParser(LIMITS)
        heads = []
        for piece in pieces:
            buffer.feed(piece)
            while (head := buffer.take_head()) is not None:
                found = parser.parse(head)
                heads.append((found.method, found.target, [*found.headers], found.framing))
        return heads

    _alike(parse, data, PeerError)


def response_head(data: bytes) -> None:
    for method in ("POST", "HEAD"):
        try:
            parse_response(data, method, LIMITS)
        except PeerError:
            continue


def chunked(data: bytes) -> None:
    def parse(pieces: list[bytes]) -> tuple[bytes, bool]:
        reader = ChunkedReader()
        body = b"".join(reader.feed(piece) for piece in pieces if not reader.complete)
        return body, reader.complete

    _alike(parse, data, FramingError)


def event_stream(data: bytes) -> None:
    def parse(pieces: list[bytes]) -> list[Any]:
        parser = SseParser(4096)
        found = [event for piece in pieces for event in parser.feed(piece)] + parser.end()
        return [(event.name, event.data) for event in found]

    _alike(parse, data, EventTooLarge)


def json_object(data: bytes) -> None:
    for parse in (jsons.parse_object, jsons.parse_event, jsons.parse_event_object):
        try:
            parse(data)
        except jsons.JsonError:
            continue


# -- what is said


def _asker() -> Asker:
    numbers = itertools.count()
    return Asker("m", "req_1", 1, lambda: f"id{next(numbers)}", stream=True, wants_usage=True)


def _request(dialect: Dialect) -> Fuzz:
    """Read as a client's request, and then written for each provider."""

    def fuzz(data: bytes) -> None:
        path = PATHS.get(dialect.name, dialect.routes[0].path if hasattr(dialect.routes[0], "path") else "/")
        try:
            body = jsons.parse_object(data)
            peek = dialect.peek(body, path)
            request = dialect.read_request(body, {}, path)
        except (jsons.JsonError, Problem):
            return
        if peek.local_answer is not None:  # goes to no provider
            return
        for other in DIALECTS.values():
            try:
                outgoing = other.write_request(request, Target("p", "m", default_max_output_tokens=99))
            except Problem:
                continue
            jsons.parse_object(outgoing.body)

    return fuzz


def _response(dialect: Dialect) -> Fuzz:
    """Read as a provider's answer, and then written for each client."""

    def fuzz(data: bytes) -> None:
        try:
            body = jsons.parse_object(data)
        except jsons.JsonError:
            return
        try:
            dialect.read_usage(body)
        except Problem:
            return
        try:
            response = dialect.read_response(body)
        except Problem:
            return
        for other in DIALECTS.values():
            written, _ = other.write_response(response, _asker())
            jsons.parse_object(written)

    return fuzz


def _stream(dialect: Dialect) -> Fuzz:
    """Read as a provider's stream, and then written for each client, which always ends in so many words."""

    def events(pieces: list[bytes]) -> list[ev.Event]:
        decoder = dialect.decoder()
        found = [event for piece in pieces for event in decoder.feed(piece)]
        return found + decoder.end()

    def parse(pieces: list[bytes]) -> Any:
        found = events(pieces)
        failures = [one for one in found if isinstance(one, ev.Failed)]
        return "failed" if failures else fold(found)

    def fuzz(data: bytes) -> None:
        _alike(parse, data, Problem)
        found = events([_pieces(data)[0]])
        for other in DIALECTS.values():
            encoder = other.encoder(_asker())
            for event in found:
                encoder.encode([event])
            assert isinstance(found[-1], ev.Ended | ev.Failed), "a silent end"

    return fuzz


def _tap(dialect: Dialect) -> Fuzz:
    """Relayed: what passes is the same however it is cut. (Whether an event that no client could read is noticed may
    hang on the cut: most are only compared, see `relay_tap`.)"""

    def passed(pieces: list[bytes]) -> tuple[bytes, bool] | None:
        tap = dialect.tap(strip_usage=False)
        out = b"".join(tap.forward(piece) for piece in pieces) + tap.end()
        if dialect.stream_type == "application/x-ndjson":  # blank lines, which nobody reads, depend on the cut
            out = b"\n".join(line.rstrip(b"\r") for line in out.split(b"\n") if line.strip())
        return None if tap.error is not None else (out, tap.ended)

    def fuzz(data: bytes) -> None:
        whole, pieces = _pieces(data)
        one, many = passed([whole]), passed(pieces)
        assert one == many or one is None or many is None, f"whole: {one!r}; in pieces: {many!r}"

    return fuzz


def _error(dialect: Dialect) -> Fuzz:
    def fuzz(data: bytes) -> None:
        status = 400 + (data[0] if data else 0) % 200
        error = dialect.read_error(status, {"retry-after": data[1:9].decode("latin-1")}, data[1:])
        assert error.message and error.status == status
        for other in DIALECTS.values():
            json.loads(other.write_error(error, "req_1").body)

    return fuzz


def configuration(data: bytes) -> None:
    """Not what names files and commands: they would be read and run."""
    text = data.decode("utf-8", "replace")
    if any(word in text for word in ("_command", "_file", "\\u", "\\U")):
        return
    try:
        from_mapping(tomllib.loads(text), {"KEY_A": "key-a-0123456789"})
    except (tomllib.TOMLDecodeError, ConfigError, RecursionError):
        return


def limit_headers(data: bytes) -> None:
    lines = [line.partition(":") for line in data.decode("latin-1").split("\n")]
    announced = read_announced({name.strip().lower(): value.strip() for name, _, value in lines}, WALL_S)
    for dimension in announced.dimensions.values():
        assert dimension.limit is None or dimension.limit >= 0
        assert dimension.reset_s is None or 0 <= dimension.reset_s < 1e9
    for _, _, value in lines:
        found = duration_s(value.strip(), WALL_S)
        assert found is None or 0 <= found < 1e12


def envelope(data: bytes) -> None:
    Sealer(b"s" * 32).open(data.decode("utf-8", "replace"))


def prompted_calls(data: bytes) -> None:
    def parse(pieces: list[bytes]) -> Any:
        numbers = itertools.count()
        finder = CallFinder(["look"], [], lambda: f"id{next(numbers)}")
        text = [ev.TextDelta(0, piece.decode("latin-1")) for piece in pieces]
        steps: list[ev.Event] = [ev.Started("id", "m", 1), ev.PartStarted(0, "text"), *text, ev.PartFinished(0)]
        found = [event for step in (*steps, ev.Finished("stop"), ev.Ended()) for event in finder.events([step])]
        return [one for one in fold(found).choices[0].parts if not isinstance(one, Text) or one.text]

    _alike(parse, data, Problem)


TARGETS: dict[str, Fuzz] = {
    "request head": request_head,
    "response head": response_head,
    "chunked body": chunked,
    "event stream": event_stream,
    "json": json_object,
    "configuration": configuration,
    "limit headers": limit_headers,
    "envelope": envelope,
    "prompted calls": prompted_calls,
}
for _dialect in DIALECTS.values():
    TARGETS[f"{_dialect.name} request"] = _request(_dialect)
    TARGETS[f"{_dialect.name} response"] = _response(_dialect)
    TARGETS[f"{_dialect.name} stream"] = _stream(_dialect)
    TARGETS[f"{_dialect.name} tap"] = _tap(_dialect)
    TARGETS[f"{_dialect.name} error"] = _error(_dialect)


# -- what to begin with

_HEADS = {
    "request head": b"\x07\x02POST /v1/chat/completions?a=b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n",
    "response head": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n",
    "chunked body": b"\x03\x015;a=b\r\nHello\r\n0\r\nx: y\r\n\r\n",
    "event stream": b"\x03\x01event: a\ndata: {}\nid: 1\n\n: c\r\ndata:x\rdata: y\r\r",
    "json": b'{"a":[1,-2.5e3,true,null,"\\u00e9\\ud83d\\ude00"],"b":{"c":""}}',
    "configuration": b'listen="127.0.0.1:0"\n[providers.p]\ndialects=["chat"]\nbase_url="http://127.0.0.1:1/v1"\n'
    b'accounts=[{name="a",key_env="KEY_A",rpm=5,models={"m*"={tpm=9}}}]\n[models]\n"m"="p/m"\n',
    "limit headers": b"x-ratelimit-limit-requests: 60\nx-ratelimit-remaining-requests: 59\n"
    b"x-ratelimit-reset-requests: 1m2.5s\nanthropic-ratelimit-tokens-reset: 2027-01-15T08:00:01Z\nretry-after: 3",
    "envelope": b"ds2.1.AAAA.BBBB",
    "prompted calls": b'\x05\x03Well <tool_call>{"name":"look","arguments":{"at":1}}</tool_call>'
    b'[TOOL_CALLS][{"name":"look","arguments":{}}]',
}


def corpus_of(name: str) -> Iterator[bytes]:
    """The seeds of a target: made here, from the golden cases, and what is kept in `corpus/NAME`."""
    if name in _HEADS:
        yield _HEADS[name]
    dialect = DIALECTS.get(name.split()[0])
    if dialect is not None:
        yield from _said(dialect, name.split()[1])
    for file in sorted((CORPUS / name.replace(" ", "-")).glob("*")):
        yield file.read_bytes()


def _said(dialect: Dialect, kind: str) -> Iterator[bytes]:
    parts: list[Any] = [Reasoning("why"), Text("Hello é"), Call("call_1", "look", '{"at":"it"}')]
    answer = Response("id", "m", 1, [Choice(0, parts, ev.Finished("tool_use"))], Usage(9, 1, output_text=4))
    match kind:
        case "request":
            for file in sorted((CASES / dialect.name).glob("*.json"))[:40]:
                yield json.dumps(json.loads(file.read_text(encoding="utf-8"))["request"]["body"]).encode()
        case "response":
            yield dialect.write_response(answer, _asker())[0]
        case "stream" | "tap":
            encoder = dialect.encoder(_asker())
            yield b"\x0b\x03" + b"".join(encoder.encode([event]) for event in play(answer))
        case "error":
            yield b'\x1d{"error":{"message":"no","type":"x","code":429,"status":"RESOURCE_EXHAUSTED","details":[]}}'
