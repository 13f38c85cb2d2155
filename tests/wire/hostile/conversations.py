"""More than one message, and messages that ask for more than an answer: pipelines, Expect, HEAD, OPTIONS, upgrades,
ends of the connection, and what never comes to an end (RFC 9112 §9; RFC 9110 §7.8, §9, §10.1.1)."""

from __future__ import annotations

from tests.wire.hostile.rows import (
    BODY,
    CHAT,
    OTHER_BODY,
    Outcome,
    Row,
    chunked,
    fields,
    pass_on,
    post,
    refused,
    served,
)

__all__ = ["ROWS"]

_BAD = {
    "a bad line": b"GET /\x01 HTTP/1.1\r\n\r\n",
    "no host": post(host=None),
    "length and coding": post("Transfer-Encoding: chunked"),
    "a bare LF": post().replace(b"\r\n", b"\n"),
    "a fold": post("X-A: b", " c"),
    "binary": b"\0\1\2\3",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "two lengths": post("Content-Length: 5"),
    "too long a target": post(line=f"POST /{'a' * 9_000} HTTP/1.1"),
    "the HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a bad chunk": chunked(b"zz\r\n"),
    "an empty line and nothing more": b"\r\n\r\n\r\n",
}
_REFUSALS = (400, 413, 414, 431, 501, 505)
_UPGRADES = {
    "h2c": ("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"),
    "an unknown protocol": ("Upgrade: foo/2", "Connection: Upgrade"),
    "TLS": ("Upgrade: TLS/1.2", "Connection: Upgrade"),
    "without Connection": ("Upgrade: h2c",),
    "a list": ("Upgrade: h2c, websocket, foo", "Connection: upgrade"),
}
_WEBSOCKET = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")  # fmt: skip
_EXPECT = "Expect: 100-continue"


def get(path: str, *lines: str, method: str = "GET") -> bytes:
    return fields(f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "").encode()


def answered(name: str, section: str, data: bytes, *statuses: int, closes: bool | None = False, **more: object) -> Row:
    """The gateway answers by itself, and nothing reaches the upstream."""
    return Row(name, section, data, (Outcome((statuses,), (), closes),), is_ours=True, **more)  # type: ignore[arg-type]


ROWS: list[Row] = [
    served("pipeline: two", "§9.3.2", post() + post(body=OTHER_BODY), BODY, OTHER_BODY),
    served("pipeline: twenty", "§9.3.2", (post() + post(body=OTHER_BODY)) * 10, *(BODY, OTHER_BODY) * 10),
    served(
        "pipeline: length, chunks, none",
        "§9.3.2",
        post() + chunked(b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)) + pass_on("/a"),
        BODY,
        BODY,
        b"",
    ),
    served("pipeline: nothing behind close", "§9.6", post("Connection: close") + post(), BODY, closes=True),
    served(
        "pipeline: nothing behind CLOSE among others",
        "§9.6",
        post("Connection: x-a, CLOSE") + post(),
        BODY,
        closes=True,
    ),
    served("pipeline: nothing behind HTTP/1.0", "§9.3", post(line=f"POST {CHAT} HTTP/1.0") + post(), BODY, closes=True),
    served("pipeline: an empty line between", "§2.2", post() + b"\r\n" + post(), BODY, BODY),
    *(
        Row(f"pipeline: good, then {name}", "§9.3.2", post() + bad, (Outcome(((200,), _REFUSALS), (BODY,), True),))
        for name, bad in _BAD.items()
    ),
    *(
        Row(f"pipeline: {name}, then good", "§9.3.2", bad + post(), (Outcome((_REFUSALS,), (), True),))
        for name, bad in _BAD.items()
        if name not in ("an empty line and nothing more",)
    ),
    Row(
        "pipeline: a refusal of the gateway's own, then good",
        "§9.3.2",
        get("/nowhere") + post(),
        (Outcome(((404,), (200,)), (BODY,), False),),
    ),
    Row(
        "pipeline: a wrong method with a body, then good",
        "§9.3.2",
        post(line="PUT /healthz HTTP/1.1") + post(),
        (Outcome(((405,), (200,)), (BODY,), False), Outcome(((405,),), (), True)),
        is_ours=True,
    ),
    Row(
        "pipeline: broken JSON, then good",
        "§9.3.2",
        post(body=b"{") + post(),
        (Outcome(((400,), (200,)), (BODY,), False),),
        is_ours=True,
    ),
    served("expect: 100-continue, the body is there", "RFC 9110 §10.1.1", post(_EXPECT)),
    served("expect: in capitals", "RFC 9110 §10.1.1", post("EXPECT: 100-CONTINUE")),
    served(
        "expect: of HTTP/1.0 is ignored",
        "RFC 9110 §10.1.1",
        post(_EXPECT, line=f"POST {CHAT} HTTP/1.0"),
        closes=True,
        interims=0,
    ),
    served("expect: without a body", "RFC 9110 §10.1.1", pass_on("/a", _EXPECT), b"", absent=("expect",)),
    served(
        "expect: with chunks",
        "RFC 9110 §10.1.1",
        chunked(b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY), lines=(_EXPECT,)),
        absent=("expect",),
    ),
    *(
        Row(
            f"expect: {text}",
            "RFC 9110 §10.1.1",
            post(f"Expect: {text}"),
            (Outcome(((417, 400),), (), True), Outcome(((200,),), (BODY,))),
        )
        for text in ("200-ok", "100-continue, a", "a=b", "100-continue;a=b", "")
    ),
    answered(
        "expect: too long a body gets no 100",
        "RFC 9110 §10.1.1",
        post(_EXPECT, "Content-Length: 99999999", length=False, body=b""),
        413,
        closes=True,
        interims=0,
    ),
    answered(
        "expect: a path that is not there gets no 100",
        "RFC 9110 §10.1.1",
        post(_EXPECT, line="POST /nowhere HTTP/1.1", body=b"{}")[:-2],
        404,
        closes=None,
        interims=0,
    ),
    answered("HEAD: of health", "RFC 9110 §9.3.2", get("/healthz", method="HEAD"), 200, methods=("HEAD",)),
    answered("HEAD: of the root", "RFC 9110 §9.3.2", get("/", method="HEAD"), 200, methods=("HEAD",)),
    answered(
        "HEAD: of a path for POST",
        "RFC 9110 §9.3.2",
        get(CHAT, method="HEAD"),
        405,
        methods=("HEAD",),
        head=(b"allow: ",),
    ),
    answered("HEAD: of nothing", "RFC 9110 §9.3.2", get("/nowhere", method="HEAD"), 404, methods=("HEAD",)),
    served("HEAD: passed on", "RFC 9110 §9.3.2", pass_on("/a", method="HEAD"), b"", methods=("HEAD",)),
    refused(
        "HEAD: without a host has no body either",
        "RFC 9110 §9.3.2",
        fields("HEAD / HTTP/1.1", "").encode(),
        400,
        methods=("HEAD",),
    ),
    answered("OPTIONS: *", "RFC 9110 §9.3.7", get("*", method="OPTIONS"), 200, 204),
    answered("OPTIONS: of a path", "RFC 9110 §9.3.7", get(CHAT, method="OPTIONS"), 200, 204, head=(b"allow: ",)),
    answered(
        "OPTIONS: with a length of 0", "RFC 9110 §9.3.7", get("*", "Content-Length: 0", method="OPTIONS"), 200, 204
    ),
    answered(
        "OPTIONS: a preflight",
        "Fetch §3.2",
        get(
            CHAT,
            "Origin: http://localhost:3000",
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: authorization",
            method="OPTIONS",
        ),
        200,
        204,
    ),
    answered("405 names what is allowed", "RFC 9110 §15.5.6", get(CHAT), 405, head=(b"allow: ",)),
    answered("405 of a page of our own", "RFC 9110 §15.5.6", get("/healthz", method="DELETE"), 405, head=(b"allow: ",)),
    answered(
        "a websocket is told what is spoken",
        "RFC 9110 §15.5.22",
        get("/v1/responses", *_WEBSOCKET),
        426,
        closes=True,
        head=(b"upgrade: ",),
    ),
    *(
        served(f"upgrade: {name}", "RFC 9110 §7.8", post(*lines), absent=("upgrade", "connection", "http2-settings"))
        for name, lines in _UPGRADES.items()
    ),
    served(
        "upgrade: with a body and a request behind it",
        "RFC 9110 §7.8",
        post("Upgrade: h2c", "Connection: Upgrade") + pass_on("/a"),
        BODY,
        b"",
    ),
    Row(
        "the client ends its side behind a request",
        "§9.6",
        post(),
        (Outcome(((200,),), (BODY,), True), Outcome((), (BODY,), True), Outcome((), (), True)),
        ends=True,
    ),
    Row(
        "the client ends its side behind a question to the gateway itself",
        "§9.6",
        get("/healthz"),
        (Outcome(((200,),), (), True),),
        ends=True,
    ),
    Row(
        "the client ends its side behind a bad request",
        "§9.6",
        post(host=None),
        (Outcome(((400,),), (), True),),
        ends=True,
    ),
    Row(
        "the client ends its side behind a pipeline",
        "§9.6",
        get("/healthz") + get("/healthz"),
        (Outcome(((200,), (200,)), (), True), Outcome(((200,),), (), True)),
        ends=True,
    ),
    Row("the client ends its side at once", "§9.5", b"", (Outcome((), (), True),), ends=True),
    *(
        Row(
            f"the client ends its side within {name}",
            "§8",
            data,
            (Outcome((), (), True), Outcome(((400, 408),), (), True)),
            ends=True,
        )
        for name, data in {
            "the method": b"PO",
            "the line": b"POST /v1/cha",
            "the version": b"POST / HTTP/1",
            "a field": post()[:40],
            "a CR": b"POST / HTTP/1.1\r",
            "the empty line": post()[: -len(BODY) - 1],
            "a length": post()[:-5],
            "a chunk": chunked(b"38\r\nabc"),
            "a size": chunked(b"3"),
            "the last chunk": chunked(b"%x\r\n%b\r\n0\r\n" % (len(BODY), BODY)),
            "a trailer": chunked(b"%x\r\n%b\r\n0\r\nA: b" % (len(BODY), BODY)),
        }.items()
    ),
    *(
        Row(f"never ends: {name}", section, data, (Outcome(((408,),), (), True), Outcome((), (), True)), is_slow=True)
        for name, section, data in (
            ("nothing comes", "§9.5", b""),
            ("an empty line", "§2.2", b"\r\n"),
            ("a CR", "§2.2", b"\r"),
            ("a method", "§9.5", b"POST"),
            ("a head", "§9.5", post()[:60]),
            ("a head but for its last byte", "§9.5", post()[: -len(BODY) - 1]),
        )
    ),
    *(
        Row(f"never ends: {name}", "RFC 9110 §15.5.9", data, (Outcome(((408,),), (), True),), is_slow=True)
        for name, data in (
            ("a body that never begins", post(body=b"", length=False)[:-2] + b"Content-Length: 5\r\n\r\n"),
            ("half a body", post()[:-5]),
            ("half a size", chunked(b"3")),
            ("half a chunk", chunked(b"38\r\nabc")),
            ("a last chunk", chunked(b"%x\r\n%b\r\n0\r\n" % (len(BODY), BODY))),
            ("a body that waits for 100 and never comes", post(_EXPECT)[: -len(BODY)]),
        )
    ),
    Row(
        "never ends: a second head behind a good request",
        "§9.5",
        post() + b"GET /",
        (Outcome(((200,), (408,)), (BODY,), True), Outcome(((200,),), (BODY,), True)),
        is_slow=True,
    ),
    Row("idle behind a good request", "§9.5", post(), (Outcome(((200,),), (BODY,), True),), is_slow=True),
]
