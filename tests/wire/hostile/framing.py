"""Where a request's body ends (RFC 9112 §6): the fields that say so, against each other and in every odd spelling."""

from __future__ import annotations

from tests.wire.hostile.rows import BODY, CHAT, Outcome, Row, chunked, either, pass_on, post, refused, served

__all__ = ["ROWS"]

_SIZE = len(BODY)
WHOLE = b"%x\r\n%b\r\n0\r\n\r\n" % (_SIZE, BODY)
# What a smuggler hides: a second request where one reader sees a body.
HIDDEN = pass_on("/hidden")


def length(text: str) -> bytes:
    return post(f"Content-Length: {text}", length=False)


def coding(*lines: str, body: bytes = WHOLE + HIDDEN) -> bytes:
    return post(*lines, length=False, body=body)


_LENGTHS = {
    "signed": f"+{_SIZE}", "negative": f"-{_SIZE}", "minus zero": "-0", "hexadecimal": hex(_SIZE), "octal": "0o70",
    "with a point": f"{_SIZE}.0", "with an exponent": "5e1", "in words": "fifty", "with a unit": f"{_SIZE}b",
    "quoted": f'"{_SIZE}"', "with a space within": "5 6", "with a tab within": "5\t6", "with an underscore": "5_6",
    "with a comma for thousands": "1,000", "a list of one twice": f"{_SIZE}, {_SIZE}", "a list": f"{_SIZE}, 0",
    "a list with an empty member": f"{_SIZE},", "a list that begins empty": f",{_SIZE}", "empty": "",
    "huge": "9" * 40, "2^64": str(2**64), "2^64 and the size": str(2**64 + _SIZE), "2^63": str(2**63),
    "with a semicolon": f"{_SIZE};a=b", "with NUL": f"{_SIZE}\0", "with a vertical tab": f"\x0b{_SIZE}",
    "in Arabic digits": "\u0665".encode().decode("latin-1"), "in fullwidth digits": "\uff15".encode().decode("latin-1"),
    "superscript": "\xb2", "with a no-break space": f"{_SIZE}\xa0", "in brackets": f"({_SIZE})", "chunked": "chunked",
}  # fmt: skip
_LENGTH_PAIRS = {
    "two equal": (f"Content-Length: {_SIZE}", f"Content-Length: {_SIZE}"),
    "two different": (f"Content-Length: {_SIZE}", "Content-Length: 0"),
    "the first is zero": ("Content-Length: 0", f"Content-Length: {_SIZE}"),
    "in two cases": (f"Content-Length: {_SIZE}", "content-length: 0"),
    "with another field between": (f"Content-Length: {_SIZE}", "X-A: b", "Content-Length: 0"),
    "one is empty": (f"Content-Length: {_SIZE}", "Content-Length:"),
    "one is padded": (f"Content-Length: {_SIZE}", f"Content-Length: 0{_SIZE}"),
    "three": (f"Content-Length: {_SIZE}",) * 3,
}
_CODINGS = {
    "identity": "identity", "gzip": "gzip", "deflate": "deflate", "compress": "compress", "chunk": "chunk",
    "chunkedd": "chunkedd", "xchunked": "xchunked", "x chunked": "x chunked", "chunked x": "chunked x",
    "chunked twice": "chunked, chunked", "chunked first": "chunked, gzip", "chunked and identity": "chunked, identity",
    "identity and chunked": "identity, chunked", "gzip and chunked": "gzip, chunked", "quoted": '"chunked"',
    "quoted within": "'chunked'", "with a parameter": "chunked;a=b", "with a quality": "chunked;q=0", "empty": "",
    "a comma alone": ",", "with a vertical tab": "\x0bchunked", "with a form feed": "\x0cchunked",
    "with a vertical tab behind": "chunked\x0b", "with NUL behind": "chunked\0", "with a control behind": "chunked\x01",
    "with a no-break space": "\xa0chunked", "with a Latin y": "chun\xffked", "a Kelvin sign": "chun\u212aed".encode().decode("latin-1"),
    "cut by a comma": "chu,nked", "with a slash": "chunked/1", "with brackets": "chunked()", "in braces": "{chunked}",
    "a number": "1", "with a colon": ": chunked", "cow": "cow", "an equals sign": "=chunked",
}  # fmt: skip
_CODING_PAIRS = {
    "chunked twice": ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "chunked and identity": ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
    "identity and chunked": ("Transfer-Encoding: identity", "Transfer-Encoding: chunked"),
    "cow and chunked": ("Transfer-Encoding: cow", "Transfer-Encoding: chunked"),
    "chunked and cow": ("Transfer-Encoding: chunked", "Transfer-Encoding: cow"),
    "in two cases": ("Transfer-Encoding: chunked", "transfer-encoding: cow"),
    "chunked and empty": ("Transfer-Encoding: chunked", "Transfer-Encoding:"),
}
# Length and chunks together, with each spelling that one of two readers might not take for a coding.
_BOTH = {
    "plain": "Transfer-Encoding: chunked", "in capitals": "TRANSFER-ENCODING: CHUNKED", "no space": "Transfer-Encoding:chunked",
    "a tab": "Transfer-Encoding:\tchunked", "two spaces": "Transfer-Encoding:  chunked", "a space behind": "Transfer-Encoding: chunked ",
    "a list": "Transfer-Encoding: chunked, identity", "an unknown one": "Transfer-Encoding: cow", "an empty one": "Transfer-Encoding:",
    "identity": "Transfer-Encoding: identity", "a vertical tab": "Transfer-Encoding:\x0bchunked", "a space before the colon": "Transfer-Encoding : chunked",
    "a space in front": " Transfer-Encoding: chunked", "quoted": 'Transfer-Encoding: "chunked"', "a bare CR": "Transfer-Encoding: chunked\r",
    "a bare LF in front": "X: x\nTransfer-Encoding: chunked", "folded": "Transfer-Encoding:\r\n chunked", "a NUL": "Transfer-Encoding: chunked\0",
    "a control": "Transfer-Encoding: \x01chunked", "a quality": "Transfer-Encoding: chunked;q=1",
}  # fmt: skip

ROWS: list[Row] = [
    served("length: as it should be", "§6.3", post()),
    served("length: in capitals", "§6.3", post(f"CONTENT-LENGTH: {_SIZE}", length=False)),
    served("length: with spaces around", "§6.3", length(f"  {_SIZE} \t")),
    served("length: with zeros in front", "RFC 9110 §8.6", length(f"000{_SIZE}")),
    *(refused(f"length: {name}", "§6.3", length(text)) for name, text in _LENGTHS.items()),
    *(refused(f"lengths: {name}", "§6.3", post(*lines, length=False)) for name, lines in _LENGTH_PAIRS.items()),
    refused("length: far more than is taken", "RFC 9110 §15.5.14", length("999999999999"), 413),
    served(
        "length: of a GET that is passed on", "RFC 9110 §9.3.1", pass_on("/a", "Content-Length: 5") + b"hello", b"hello"
    ),
    served(
        "length: zero and a request behind it", "§6.3", pass_on("/a", "Content-Length: 0") + pass_on("/b"), b"", b""
    ),
    served("no length: no body, a request behind it", "§6.3", pass_on("/a") + pass_on("/b"), b"", b""),
    served("coding: as it should be", "§7.1", coding("Transfer-Encoding: chunked", body=WHOLE)),
    served("coding: in capitals", "§7", coding("Transfer-Encoding: CHUNKED", body=WHOLE)),
    served("coding: in mixed case", "§7", coding("transfer-ENCODING: ChUnKeD", body=WHOLE)),
    served("coding: with spaces around", "§5.1", coding("Transfer-Encoding: \t chunked \t", body=WHOLE)),
    either(
        "coding: an empty member behind", "RFC 9110 §5.6.1", coding("Transfer-Encoding: chunked,", body=WHOLE), 400, 501
    ),
    either(
        "coding: an empty member in front",
        "RFC 9110 §5.6.1",
        coding("Transfer-Encoding: ,chunked", body=WHOLE),
        400,
        501,
    ),
    *(
        refused(f"coding: {name}", "§6.1", coding(f"Transfer-Encoding: {text}"), 400, 501)
        for name, text in _CODINGS.items()
    ),
    *(refused(f"codings: {name}", "§6.1", coding(*lines), 400, 501) for name, lines in _CODING_PAIRS.items()),
    refused(
        "coding: in HTTP/1.0",
        "§6.1",
        post("Transfer-Encoding: chunked", line=f"POST {CHAT} HTTP/1.0", length=False, body=WHOLE),
    ),
    refused(
        "coding: in HTTP/1.0 that keeps its connection",
        "§6.1",
        post(
            "Transfer-Encoding: chunked",
            "Connection: keep-alive",
            line=f"POST {CHAT} HTTP/1.0",
            length=False,
            body=WHOLE + HIDDEN,
        ),
    ),
    *(
        refused(f"length and coding: {name}", "§6.1", post(text, body=WHOLE + HIDDEN), 400, 501)
        for name, text in _BOTH.items()
    ),
    *(
        refused(
            f"coding and length: {name}",
            "§6.1",
            post(text, "Content-Length: 5", length=False, body=WHOLE + HIDDEN),
            400,
            501,
        )
        for name, text in _BOTH.items()
    ),
    refused(
        "length and coding: the body hides a request",
        "§6.1",
        post("Transfer-Encoding: chunked", body=b"0\r\n\r\n" + HIDDEN),
    ),
    refused(
        "length and coding in HTTP/1.0",
        "§6.1",
        post("Transfer-Encoding: chunked", line=f"POST {CHAT} HTTP/1.0", body=WHOLE + HIDDEN),
    ),
    refused(
        "length and coding of a GET",
        "§6.1",
        pass_on("/a", "Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n" + HIDDEN,
    ),
    served(
        "coding: of a GET that is passed on",
        "§6.3",
        pass_on("/a", "Transfer-Encoding: chunked") + b"2\r\nok\r\n0\r\n\r\n",
        b"ok",
    ),
    served("coding: a good request behind the last chunk", "§9.3", chunked(WHOLE) + HIDDEN, BODY, b""),
    Row(
        "content-encoding: chunked is no content coding",
        "RFC 9110 §8.4",
        post("Content-Encoding: chunked"),
        (Outcome(((400, 415),)),),
    ),
]
