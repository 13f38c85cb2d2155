"""What is cut out of a large document comes back as it was, and what cannot be cut is said so."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2api import jsons, long_strings
from ds2api.long_strings import LongString, LongStrings

_PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 2000).decode()


def taken_apart(raw: bytes) -> tuple[LongStrings, Any, bool]:
    found = LongStrings(raw)
    for _ in found.find():
        pass
    document = jsons.parse(found.outline)
    return found, document, isinstance(document, dict) and found.place(document)


def filled(found: LongStrings, document: Any) -> Any:
    for _ in found.fill():
        pass
    return document


def test_a_picture_is_not_in_the_outline_and_comes_back() -> None:
    body = {"model": "m", "input": [{"url": f"data:image/png;base64,{_PICTURE}"}, {"data": _PICTURE}, "text"]}
    raw = json.dumps(body).encode()
    found, document, is_apart = taken_apart(raw)
    assert is_apart
    assert len(found.outline) < 300_000 < len(raw), "one window at each end and what is kept of the beginning stay"
    url, data = document["input"][0]["url"], document["input"][1]["data"]
    assert isinstance(url, LongString)
    assert len(url) == len(body["input"][0]["url"])  # type: ignore[index]
    assert url[:4000] == body["input"][0]["url"][:4000]  # type: ignore[index]
    assert len(data) == len(_PICTURE)
    assert filled(found, document) == body
    assert type(document["input"][0]["url"]) is str


def test_equal_documents_have_equal_outlines() -> None:
    raw = json.dumps({"input": [_PICTURE]}).encode()
    assert taken_apart(raw)[0].outline == taken_apart(bytes(bytearray(raw)))[0].outline


@pytest.mark.parametrize(
    "body",
    [
        {"model": _PICTURE},  # a field that routing reads
        {"input": {_PICTURE: 1}},  # a key, of which there must not be two
        {"input": [_PICTURE, "x" * 5000 + "~ds2api-0-" + "0" * 32 + "~"]},  # a mark of the client's own
        {"input": [_PICTURE, "x" * 5000 + "~ds2api-7-" + "0" * 32 + "~"]},
    ],
)
def test_what_cannot_be_told_exactly_is_not_taken_apart(body: dict[str, Any]) -> None:
    assert not taken_apart(json.dumps(body).encode())[2]


@pytest.mark.parametrize("text", ["ds2.1." + "A" * 400_000, "Q" * 400_000, "word " * 80_000])
def test_only_files_are_cut(text: str) -> None:
    found, document, is_apart = taken_apart(json.dumps({"input": [text]}).encode())
    assert (document, is_apart) == ({"input": [text]}, True)
    assert len(found.outline) > 400_000


_LETTERS = st.text(alphabet="AB+/=", min_size=0, max_size=60).map(lambda text: "/9j/" + text)
_TEXTS = st.text(alphabet='A"\\ é~\n', max_size=30) | _LETTERS | st.tuples(_LETTERS, _LETTERS).map(" ".join)
_VALUES = st.recursive(
    st.none() | st.integers(0, 10**30) | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(_TEXTS, _VALUES, max_size=5), st.booleans(), st.sampled_from([None, 1]))
def test_a_document_taken_apart_and_put_together_is_what_a_parser_reads(
    body: dict[str, Any], ascii_only: bool, indent: int | None
) -> None:
    raw = json.dumps(body, ensure_ascii=ascii_only, indent=indent).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_strings, "_WINDOW_BYTES", 8)
        patch.setattr(long_strings, "_KEPT_BYTES", 4)
        found, document, is_apart = taken_apart(raw)
        if is_apart:
            assert filled(found, document) == json.loads(raw)


@given(
    st.dictionaries(_TEXTS, _VALUES, max_size=4), st.integers(0, 400), st.sampled_from([b"", b'"', b"}", b"AAAAAAAA"])
)
def test_an_outline_is_json_only_where_the_document_is(body: dict[str, Any], at: int, junk: bytes) -> None:
    raw = json.dumps(body).encode()
    raw = raw[:at] + junk + raw[at + 1 :]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_strings, "_WINDOW_BYTES", 8)
        patch.setattr(long_strings, "_KEPT_BYTES", 4)
        try:
            found, document, is_apart = taken_apart(raw)
        except jsons.JsonError:
            return
        if is_apart:
            assert filled(found, document) == jsons.parse(raw)
