"""A top-level value is found exactly, whatever else the bytes hold."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2api.dialects import splice
from ds2api.dialects.splice import append_member, replace_value, top_level_span


def found(raw: bytes, key: str) -> bytes | None:
    span = top_level_span(raw, key)
    return None if span is None else raw[span[0] : span[1]]


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'{"model":"a"}', b'"a"'),
        (b'{"model" \t:\r\n "a\\"b" , "x":1}', b'"a\\"b"'),
        (b'{"x":{"model":1}}', None),
        (b'{"x":[{"model":1}],"y":"model"}', None),
        (b'{"x":"model","model":null}', b"null"),
        (b'{"x":"\\"model\\":1","model":-1.5e3}', b"-1.5e3"),
        (b'{"x":"a\\"model","model":true }', b"true"),
        (b'{"x":["model","model"],"model":{"a":"}","b":[{}]}}', b'{"a":"}","b":[{}]}'),
        (b'{"mod\\u0065l":"a","x":{"model":2}}', b'"a"'),
        (b'{"x":{"mod\\u0065l":"a"}}', None),
        (b'{"x":"\\\\","model":[1,2]}', b"[1,2]"),
        (b'{"x":"\\u006d","model":1}', b"1"),
        (b"{}", None),
    ],
)
def test_value_is_found_at_the_top_only(raw: bytes, value: bytes | None) -> None:
    assert found(raw, "model") == value


_KEYS = st.sampled_from(["model", "mo", 'mod"el', "m\\", "é", "_x", ""])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
    | st.sampled_from(['"model":', "model", "{", "]", "\\", '\\"', "\\u006d"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(
    st.dictionaries(_KEYS, _VALUES, max_size=6), _KEYS, st.booleans(), st.sampled_from([None, 1]), st.integers(0, 60)
)
def test_span_is_what_a_parser_finds(
    body: dict[str, Any], key: str, ascii_only: bool, indent: int | None, near_bytes: int
) -> None:
    raw = json.dumps(body, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "replace")
    body = json.loads(raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splice, "_NEAR_BYTES", near_bytes)
        value = found(raw, key)
    assert (value is not None) is (key in body)
    if value is not None:
        assert json.loads(value) == body[key]


@given(st.dictionaries(_KEYS, _VALUES, max_size=6), _KEYS, _VALUES)
def test_replacing_changes_one_value_and_no_other(body: dict[str, Any], key: str, value: Any) -> None:
    raw = json.dumps(body).encode()
    written = replace_value(raw, key, json.dumps(value).encode())
    assert json.loads(written) == {**json.loads(raw), key: json.loads(json.dumps(value))}


@pytest.mark.parametrize(
    ("raw", "written"),
    [(b" { } \n", b' { "a":1} \n'), (b'{"b":{}}', b'{"b":{},"a":1}'), (b'{"b":"}" }', b'{"b":"}" ,"a":1}')],
)
def test_member_is_appended_before_the_last_brace(raw: bytes, written: bytes) -> None:
    assert append_member(raw, "a", b"1") == written


def test_long_string_full_of_escapes_is_walked_once() -> None:
    """A string that would make a backtracking expression give up."""
    raw = b'{"x":"' + b"\\n\\\\" * 500_000 + b'","model":"a","y":{"model":1}}'
    assert found(raw, "model") == b'"a"'
