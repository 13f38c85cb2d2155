"""Host (RFC 9112 §3.2) and the syntax of fields (§5; RFC 9110 §5)."""

from __future__ import annotations

from tests.wire.hostile.rows import BODY, CHAT, Outcome, Row, either, pass_on, post, refused, served

__all__ = ["ROWS"]

_BAD_HOSTS = {
    "a path": "localhost/a", "a query": "localhost?a", "a fragment": "localhost#a", "a user": "u@localhost",
    "a user and a password": "u:p@localhost", "a list": "localhost, localhost", "a space": "local host",
    "a tab": "local\thost", "a port that is no number": "localhost:8o", "a signed port": "localhost:+80",
    "two ports": "localhost:80:80", "a long port": "localhost:800000", "a scheme": "http://localhost",
    "a backslash": "localhost\\a", "a bad escape": "localhost%", "another bad escape": "local%zzhost",
    "a quote": '"localhost"', "an open bracket": "[::1", "a closed bracket": "::1]", "empty brackets": "[]",
    "no address in brackets": "[localhost]", "text behind brackets": "[::1]a", "bare IPv6": "::1", "braces": "{a}",
    "an angle bracket": "<a>", "beyond ASCII": "l\xf6calhost", "a control": "local\x01host", "NUL": "localhost\0",
    "a caret": "a^b", "a bar": "a|b",
}  # fmt: skip
_GOOD_HOSTS = (
    "localhost", "LOCALHOST", "localhost:8787", "localhost:", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:8787",
    "[::ffff:127.0.0.1]", "gateway.localhost", "  localhost\t ",
)  # fmt: skip


def host(text: str) -> bytes:
    return post(host=f"Host: {text}")


def field(text: str) -> bytes:
    """A request with this line among its fields."""
    return post(text)


_CONTROLS = [code for code in (*range(1, 32), 127) if chr(code) not in "\t\r\n"]
_SEPARATORS = '()<>@,;\\"/[]?={} '

_NAMES = {
    "a space before the colon": "X-A : b",
    "a tab before the colon": "X-A\t: b",
    "a CR before the colon": "X-A\r: b",
    "an empty name": ": b",
    "a colon alone": ":",
    "no colon": "X-A b",
    "a name alone": "X-A",
    "a space in front of the first field": " X-A: b",
    "two words": "X A: b",
    "NUL in the name": "X\0A: b",
    "beyond ASCII": "X-\xc4: b",
    "a length with a space before its colon": f"Content-Length : {len(BODY)}",
    "a coding with a space before its colon": "Transfer-Encoding : chunked",
    "a coding with a tab before its colon": "Transfer-Encoding\t: chunked",
    "a coding with NUL in its name": "Transfer-\0Encoding: chunked",
    "a coding in quotes": '"Transfer-Encoding": chunked',
    "a host with a space before its colon": "Host : localhost",
}
_LINES = {
    "a bare LF in a value": b"X-A: b\nX-C: d",
    "a bare CR in a value": b"X-A: b\rX-C: d",
    "a bare CR at a value's end": b"X-A: b\r",
    "CR CR LF": b"X-A: b\r\r\n",
    "a bare LF and a length": b"X-A: b\nContent-Length: 0",
    "a bare LF and a coding": b"X-A: b\nTransfer-Encoding: chunked",
    "a bare CR and a coding": b"X-A: b\rTransfer-Encoding: chunked",
    "a fold": b"X-A: b\r\n c",
    "a fold with a tab": b"X-A: b\r\n\tc",
    "a fold of nothing": b"X-A: b\r\n ",
    "a fold that hides a length": b"X-A: b\r\n Content-Length: 0",
    "a fold that hides a coding": b"X-A: b\r\n\tTransfer-Encoding: chunked",
    "a folded coding": b"Transfer-Encoding:\r\n chunked",
    "a folded coding with a tab": b"Transfer-Encoding:\r\n\tchunked",
    "a coding folded within": b"Transfer-Encoding: chun\r\n ked",
    "a folded length": b"Content-Length:\r\n 5",
    "a bare LF before a folded coding": b"X-A: b\n Transfer-Encoding: chunked",
    "NUL in a value": b"X-A: b\0c",
    "NUL at a value's end": b"X-A: b\0",
    "an escape sequence": b"X-A: \x1b[2J",
}
_GOOD_FIELDS = {
    "no space behind the colon": "X-A:b",
    "spaces around the value": "X-A: \t b \t ",
    "an empty value": "X-A:",
    "a tab in the value": "X-A: b\tc",
    "a value beyond ASCII": "X-A: \xff\x80",
    "a colon in the value": "X-A: b:c",
    "every sign of a token": "!#$%&'*+-.^_`|~1a: b",
    "a name in capitals": "X-AAA: b",
    "an underscore": "x_a: b",
    "two of one name": "X-A: b\r\nX-A: c",
    "a quoted comma": 'X-A: "b,c"',
    "100 bytes of name": f"{'a' * 100}: b",
    "8 KB of value": f"X-A: {'b' * 8_000}",
    "half as many fields as may be": "\r\n".join(f"X-{number}: b" for number in range(50)),
}
# What belongs to the connection of the client alone (RFC 9110 §7.6.1).
_HOPS = (
    "Connection: keep-alive", "Keep-Alive: timeout=5", "TE: trailers", "Proxy-Connection: keep-alive", "Upgrade: h2c",
    "Proxy-Authorization: Basic eDp5", "Proxy-Authenticate: Basic", "Trailer: X-A",
)  # fmt: skip
_NEVER = ("connection", "keep-alive", "te", "proxy-connection", "upgrade", "proxy-authorization", "proxy-authenticate",
          "trailer", "transfer-encoding", "expect")  # fmt: skip
_PRIVATE = (
    "Cookie: a=b", "X-Forwarded-For: 1.2.3.4", "Forwarded: for=1.2.3.4", "X-Real-IP: 1.2.3.4", "Via: 1.1 a",
    "CF-Connecting-IP: 1.2.3.4", "Authorization: Bearer of-the-client", "X-Api-Key: of-the-client", "X-A: b",
    "X-Original-URL: /admin/pool", "X-Rewrite-URL: /admin/pool", "X-HTTP-Method-Override: DELETE", "X-Forwarded-Host: a",
    "Referer: http://localhost/secret", "Range: bytes=0-", "If-None-Match: *",
)  # fmt: skip

ROWS: list[Row] = [
    refused("host: none", "§3.2", post(host=None)),
    refused("host: two", "§3.2", post("Host: localhost")),
    refused("host: two different ones", "§3.2", post("Host: other")),
    refused("host: two in HTTP/1.0", "§3.2", post("Host: other", line=f"POST {CHAT} HTTP/1.0")),
    refused("host: a second one in capitals", "§3.2", post("HOST: localhost")),
    refused("host: the last field again", "§3.2", pass_on("/a", "X-A: b", "host: localhost")),
    either("host: empty", "§3.2", host("")),
    either("host: a port alone", "§3.2", host(":80")),
    *(refused(f"host: {name}", "§3.2", host(text)) for name, text in _BAD_HOSTS.items()),
    *(served(f"host: {text!r} is good", "§3.2", host(text)) for text in _GOOD_HOSTS),
    *(refused(f"name: {name}", "§5.1", field(text)) for name, text in _NAMES.items()),
    *(refused(f"name: {separator!r} within", "RFC 9110 §5.1", field(f"X{separator}A: b")) for separator in _SEPARATORS),
    *(refused(f"value: control {code:#04x}", "RFC 9110 §5.5", field(f"X-A: b{chr(code)}c")) for code in _CONTROLS),
    *(
        refused(f"name: control {code:#04x}", "RFC 9110 §5.1", field(f"X{chr(code)}A: b"))
        for code in (1, 11, 12, 31, 127)
    ),
    *(refused(f"line: {name}", "§2.2, §5.2", post("X-LINE").replace(b"X-LINE", text)) for name, text in _LINES.items()),
    refused("line: a fold in front of all", "§2.2", b"POST / HTTP/1.1\r\n Host: localhost\r\n\r\n"),
    refused("line: a fold in front of the host", "§2.2", post(host=" Host: localhost")),
    refused("line: bare LF throughout", "§2.2", post().replace(b"\r\n", b"\n")),
    refused("line: bare CR throughout", "§2.2", post().replace(b"\r\n", b"\r")),
    refused("line: a head ended by LF LF", "§2.2", post().replace(b"\r\n\r\n", b"\r\n\n")),
    refused("line: a head ended by LF CR LF", "§2.2", post().replace(b"\r\n\r\n", b"\n\r\n")),
    refused("line: a head ended by CR LF CR", "§2.2", post().replace(b"\r\n\r\n", b"\r\n\r")),
    *(served(f"good: {name}", "§5", field(text)) for name, text in _GOOD_FIELDS.items()),
    refused("fields: 150", "RFC 6585 §5", post(*(f"X-{number}: b" for number in range(150))), 400, 431),
    refused("fields: 20,000", "RFC 6585 §5", post(*(f"X-{number}: b" for number in range(20_000))), 400, 431),
    refused("fields: one of 100 KB", "RFC 6585 §5", field(f"X-A: {'b' * 100_000}"), 400, 431),
    refused("fields: a name of 100 KB", "RFC 6585 §5", field(f"{'a' * 100_000}: b"), 400, 431),
    refused("fields: 1 MB in all", "RFC 6585 §5", post(*(f"X-{n}: {'b' * 20_000}" for n in range(50))), 400, 431),
    refused("fields: an endless one", "RFC 6585 §5", post("X-A: " + "b" * 200_000)[:-200], 400, 431),
    refused("fields: endless ones", "RFC 6585 §5", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 30_000, 400, 431),
    *(served(f"one hop: {line}", "RFC 9110 §7.6.1", pass_on("/a", line), b"", absent=(*_NEVER,)) for line in _HOPS),
    *(
        served(
            f"one hop: what Connection names, {name}",
            "RFC 9110 §7.6.1",
            pass_on("/a", f"{name}: b", f"Connection: {name}"),
            b"",
            absent=(name.lower(), *_NEVER),
        )
        for name in ("OpenAI-Beta", "Anthropic-Beta", "X-Stainless-Os", "Idempotency-Key", "X-A")
    ),
    served("one hop: Connection names the host", "RFC 9110 §7.6.1", post("Connection: host, content-length")),
    *(
        served(
            f"private: {line}",
            "R147",
            post(line),
            absent=(line.partition(":")[0].lower(),) if not line.startswith("Auth") else (),
            is_ours=True,
        )
        for line in _PRIVATE
    ),
    Row(
        "a page of HTML",
        "RFC 9110 §8.3",
        post().replace(b"application/json", b"text/html"),
        (Outcome(((415,),)),),
        is_ours=True,
    ),
]
