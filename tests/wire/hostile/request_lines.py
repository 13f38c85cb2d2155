"""Request lines and targets (RFC 9112 §2.2, §2.3, §3)."""

from __future__ import annotations

from tests.wire.hostile.rows import BODY, CHAT, Outcome, Row, either, pass_on, post, refused, served

__all__ = ["ROWS"]


def line(text: str) -> bytes:
    return post(line=text)


_SPACES = {
    "two spaces behind the method": f"POST  {CHAT} HTTP/1.1",
    "two spaces behind the target": f"POST {CHAT}  HTTP/1.1",
    "a tab behind the method": f"POST\t{CHAT} HTTP/1.1",
    "a tab behind the target": f"POST {CHAT}\tHTTP/1.1",
    "a space in front": f" POST {CHAT} HTTP/1.1",
    "a tab in front": f"\tPOST {CHAT} HTTP/1.1",
    "a space behind": f"POST {CHAT} HTTP/1.1 ",
    "a tab behind": f"POST {CHAT} HTTP/1.1\t",
    "a vertical tab for a space": f"POST\x0b{CHAT} HTTP/1.1",
    "a form feed for a space": f"POST {CHAT}\x0cHTTP/1.1",
    "a bare CR for a space": f"POST\r{CHAT} HTTP/1.1",
    "a no-break space": f"POST\xa0{CHAT} HTTP/1.1",
    "a space in the target": "POST /v1/chat /completions HTTP/1.1",
    "a second version": f"POST {CHAT} HTTP/1.1 HTTP/1.1",
    "no version": f"POST {CHAT}",
    "no target": "POST HTTP/1.1",
    "the method alone": "POST",
    "an empty target": "POST  HTTP/1.1",
}
_VERSIONS: dict[str, tuple[str, tuple[int, ...]]] = {
    "a lower case name": ("http/1.1", (400, 505)),
    "a mixed case name": ("HtTP/1.1", (400, 505)),
    "no name": ("1.1", (400, 505)),
    "another name": ("ICY/1.1", (400, 505)),
    "HTTPS": ("HTTPS/1.1", (400, 505)),
    "no slash": ("HTTP1.1", (400, 505)),
    "a backslash": ("HTTP\\1.1", (400, 505)),
    "no minor": ("HTTP/1", (400, 505)),
    "an empty minor": ("HTTP/1.", (400, 505)),
    "an empty major": ("HTTP/.1", (400, 505)),
    "a long minor": ("HTTP/1.10", (400, 505)),
    "a padded minor": ("HTTP/1.01", (400, 505)),
    "a padded major": ("HTTP/01.1", (400, 505)),
    "a signed major": ("HTTP/+1.1", (400, 505)),
    "a comma": ("HTTP/1,1", (400, 505)),
    "a third number": ("HTTP/1.1.1", (400, 505)),
    "a letter": ("HTTP/1.x", (400, 505)),
    "a hexadecimal minor": ("HTTP/1.a", (400, 505)),
    "a space within": ("HTTP/ 1.1", (400, 505)),
    "a space before the point": ("HTTP/1 .1", (400, 505)),
    "text behind": ("HTTP/1.1x", (400, 505)),
    "HTTP/0.9": ("HTTP/0.9", (400, 505)),
    "HTTP/0.1": ("HTTP/0.1", (400, 505)),
    "HTTP/2.0": ("HTTP/2.0", (400, 505)),
    "HTTP/2": ("HTTP/2", (400, 505)),
    "HTTP/3.0": ("HTTP/3.0", (400, 505)),
    "HTTP/9.9": ("HTTP/9.9", (400, 505)),
    "HTTP/10.1": ("HTTP/10.1", (400, 505)),
}
_METHODS = {
    "a colon": "PO:ST", "a bracket": "PO(ST", "a quote": '"POST"', "a comma": "POST,GET", "a slash": "PO/ST",
    "a question mark": "POST?", "an at": "@POST", "a brace": "{POST}", "a control": "PO\x01ST", "NUL": "PO\0ST",
    "DEL": "POST\x7f", "beyond ASCII": "POST\xe9", "an equals sign": "A=B", "a backslash": "PO\\ST",
}  # fmt: skip
_TARGETS = {
    "relative": "v1/chat/completions",
    "a question mark first": "?a",
    "a fragment": f"{CHAT}#a",
    "a fragment in front of a query": f"{CHAT}#a?b",
    "NUL": f"{CHAT}\0",
    "a control": f"{CHAT}\x01",
    "a vertical tab": f"{CHAT}\x0b",
    "DEL": f"{CHAT}\x7f",
    "beyond ASCII": f"{CHAT}\xe9",
    "UTF-8": f"{CHAT}\xc3\xa9",
    "an asterisk to POST": "*",
    "an asterisk and more": "*/a",
    "authority form to POST": "localhost:80",
    "authority form without a port": "localhost",
    "a scheme alone": "http:",
    "a scheme and one slash": "http:/localhost/",
    "a scheme and no authority": "http:///v1/chat/completions",
    "an absolute form with a port that is none": f"http://localhost:a{CHAT}",
    "an absolute form with a user": f"http://u:p@localhost{CHAT}",
    "an absolute form with a user alone": f"http://u@localhost{CHAT}",
    "an absolute form with an open bracket": f"http://[::1{CHAT}",
    "an absolute form with a space in its host": f"http://local host{CHAT}",
    "an absolute form with a backslash": f"http://localhost\\{CHAT}",
    "an absolute form of ftp": f"ftp://localhost{CHAT}",
    "an absolute form of javascript": "javascript:alert(1)",
    "an absolute form of file": "file:///etc/passwd",
    "an absolute form without a scheme's slashes": f"http:localhost{CHAT}",
}
_GOOD = {
    "absolute form": f"http://localhost{CHAT}",
    "absolute form with a port": f"http://localhost:8787{CHAT}",
    "absolute form in capitals": f"HTTP://LOCALHOST{CHAT}",
    "absolute form of https": f"https://localhost{CHAT}",
    "a query": f"{CHAT}?beta=true",
    "an empty query": f"{CHAT}?",
    "a query with a question mark": f"{CHAT}?a?b",
    "two slashes in front": f"/{CHAT}",
}
# What an upstream gets as it was sent: nobody on the way may read a path in another way than the one behind.
_WORD_FOR_WORD = (
    "/a%2Fb", "/a%2fb", "/%41", "/a%20b", "/a+b", "/a//b", "/a/;b", "/a;b=c", "/a?b=c&d=%00", "/a?b=/../c", "/a,b",
    "/a:b", "/a@b", "/a%", "/a%zz", "/~a", "/a'b", "/a(b)", "/a!b", "/a$b", "/a*b", "/a|b", "/a?[b]", "/a?{b}",
)  # fmt: skip
_DOTS = ("/../a", "/a/../b", "/./a", "/..", "/%2e%2e/a", "/a/%2E./b", "/a/.%2e", "/..%2Fa", "/a/..%5c..%5cb")

ROWS: list[Row] = [
    *(refused(name, "§3", line(text)) for name, text in _SPACES.items()),
    *(
        refused(f"version: {name}", "§2.3", line(f"POST {CHAT} {text}"), *codes)
        for name, (text, codes) in _VERSIONS.items()
    ),
    served("version: HTTP/1.2 is as good as 1.1", "RFC 9110 §2.5", line(f"POST {CHAT} HTTP/1.2")),
    served("version: HTTP/1.9 is as good as 1.1", "RFC 9110 §2.5", line(f"POST {CHAT} HTTP/1.9")),
    served("version: HTTP/1.0 closes", "§9.3", line(f"POST {CHAT} HTTP/1.0"), closes=True),
    served("version: HTTP/1.0 without a host", "§3.2", post(line=f"POST {CHAT} HTTP/1.0", host=None), closes=True),
    served(
        "version: HTTP/1.0 that keeps its connection",
        "§9.3",
        post("Connection: keep-alive", line=f"POST {CHAT} HTTP/1.0"),
        head=(b"connection: keep-alive",),
    ),
    served(
        "version: HTTP/1.0 keep-alive, close",
        "§9.3",
        post("Connection: keep-alive, close", line=f"POST {CHAT} HTTP/1.0"),
        closes=True,
    ),
    *(refused(f"method: {name}", "RFC 9110 §9.1", line(f"{text} {CHAT} HTTP/1.1")) for name, text in _METHODS.items()),
    Row("method: unknown", "RFC 9110 §9.1", line(f"BREW {CHAT} HTTP/1.1"), (Outcome(((405, 501),)),)),
    Row(
        "method: in lower case is another one",
        "RFC 9110 §9.1",
        line(f"post {CHAT} HTTP/1.1"),
        (Outcome(((405, 501),)),),
    ),
    Row("method: a very long one", "§3", line(f"{'A' * 300} {CHAT} HTTP/1.1"), (Outcome(((400, 405, 501),)),)),
    Row("method: TRACE", "RFC 9110 §9.3.8", line(f"TRACE {CHAT} HTTP/1.1"), (Outcome(((400, 405, 501),)),)),
    refused("method: CONNECT", "RFC 9110 §9.3.6", line("CONNECT localhost:80 HTTP/1.1"), 400, 405, 501),
    refused("method: CONNECT to a path", "RFC 9110 §9.3.6", line(f"CONNECT {CHAT} HTTP/1.1"), 400, 405, 501),
    *(refused(f"target: {name}", "§3.2", line(f"POST {text} HTTP/1.1")) for name, text in _TARGETS.items()),
    *(served(f"target: {name}", "§3.2", line(f"POST {text} HTTP/1.1")) for name, text in _GOOD.items()),
    served(
        "target: absolute form beats the host field",
        "§3.2.2",
        post(line=f"POST http://127.0.0.1{CHAT} HTTP/1.1", host="Host: localhost"),
    ),
    refused(
        "target: absolute form without a host field",
        "§3.2",
        post(line=f"POST http://localhost{CHAT} HTTP/1.1", host=None),
    ),
    *(
        served(f"passed on: {path}", "RFC 9110 §7.1", pass_on(path), b"", target="/v1" + path)
        for path in _WORD_FOR_WORD
    ),
    *(Row(f"never climbs: {path}", "RFC 3986 §5.2.4", pass_on(path), (Outcome(((400, 403, 404),)),)) for path in _DOTS),
    refused("target: 9 KB", "§3", line(f"POST /{'a' * 9_000} HTTP/1.1"), 414, 431),
    refused("target: 60 KB", "§3", line(f"POST /{'a' * 60_000} HTTP/1.1"), 414),
    refused("target: endless", "§3", b"GET /" + b"a" * 100_000, 414),
    refused("target: a query of 20 KB", "§3", line(f"POST {CHAT}?{'a' * 20_000} HTTP/1.1"), 414),
    served("target: a query of 7 KB", "§3", line(f"POST {CHAT}?{'a' * 7_000} HTTP/1.1")),
    served("an empty line in front", "§2.2", b"\r\n" + post()),
    either("two empty lines in front", "§2.2", b"\r\n\r\n" + post()),
    either("a bare LF in front", "§2.2", b"\n" + post()),
    refused("a bare CR in front", "§2.2", b"\r" + post()),
    refused("spaces in front", "§2.2", b"   \r\n" + post()),
    refused("NUL in front", "§2.2", b"\0" + post()),
    refused("a byte order mark in front", "§2.2", b"\xef\xbb\xbf" + post()),
    refused("nothing but binary", "§2.2", bytes(range(128, 256)) + b"\r\n\r\n"),
    refused("an answer instead of a request", "§3", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 400, 505),
    refused("a TLS hello", "§3", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40),
    refused("a TLS 1.0 hello of SSLv2", "§3", b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10" + b"\1" * 40),
    refused(
        "the HTTP/2 preface", "RFC 9113 §3.4", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0", 400, 505
    ),
    refused(
        "the HTTP/2 preface and a request behind it",
        "RFC 9113 §3.4",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + post(),
        400,
        505,
    ),
    refused("the HTTP/2 preface without its dot", "RFC 9113 §3.4", b"PRI * HTTP/2\r\n\r\nSM\r\n\r\n", 400, 505),
    refused("HTTP/0.9", "§2.3", b"GET /\r\n" + b"\r\n", 400, 505),
    refused("an SMTP greeting", "§3", b"EHLO a\r\nMAIL FROM:<a@b>\r\n\r\n"),
    refused("a PROXY line", "§3", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + post()),
    refused("a Redis command", "§3", b"*1\r\n$4\r\nPING\r\n\r\n"),
    refused("an SSH banner", "§3", b"SSH-2.0-OpenSSH_9.0\r\n\r\n"),
    refused("a request line ended by a bare LF", "§2.2", post().replace(b" HTTP/1.1\r\n", b" HTTP/1.1\n")),
    refused("a request line ended by a bare CR", "§2.2", post().replace(b" HTTP/1.1\r\n", b" HTTP/1.1\r")),
    refused("a request line ended by CR CR LF", "§2.2", post().replace(b" HTTP/1.1\r\n", b" HTTP/1.1\r\r\n")),
    refused("a request line ended by LF CR", "§2.2", post().replace(b" HTTP/1.1\r\n", b" HTTP/1.1\n\r")),
]
assert BODY in ROWS[0].data
