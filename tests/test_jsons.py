"""The JSON door: the same answers with and without the native part, and no duplicate that slips through."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2api import jsons

TEXTS = st.text(alphabet=st.sampled_from('ab":\\ \n{}[],:é\u2028\x1f'), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)
LAYOUTS = st.sampled_from([{"separators": (",", ":")}, {}, {"indent": 1}, {"separators": (" ,", " :")}])


@pytest.fixture(params=["native", "standard library"])
def door(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param == "standard library":
        monkeypatch.setattr(jsons, "_native", None)
    return jsons


@given(VALUES, LAYOUTS, st.booleans())
def test_parse_agrees_with_the_standard_library(value: Any, layout: dict[str, Any], ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, **layout)
    parsed = jsons.parse(text.encode())
    assert parsed == json.loads(text)
    assert jsons.first_duplicate(parsed, levels=100) is None, "no duplicate is seen where there is none"


@given(VALUES)
def test_dump_and_parse_are_inverse(value: Any) -> None:
    assert jsons.parse(jsons.dump(value)) == value


@given(st.lists(st.tuples(TEXTS, VALUES), min_size=1, max_size=5), LAYOUTS)
def test_no_duplicate_slips_through(pairs: list[tuple[str, Any]], layout: dict[str, Any]) -> None:
    colon = layout.get("separators", (", ", ": "))[1]
    text = "{" + ",".join(json.dumps(key) + colon + json.dumps(value, **layout) for key, value in pairs) + "}"
    keys = [key for key, _ in pairs]
    found = jsons.first_duplicate(jsons.parse(text.encode()), levels=1)
    assert (found is not None) == (len(set(keys)) < len(keys))


def test_escaped_spelling_of_a_key_is_a_duplicate(door: Any) -> None:
    parsed = door.parse(b'{"model":"a","mod\\u0065l":"b"}')
    assert door.first_duplicate(parsed, levels=1) == "model"


def test_duplicates_are_named_with_their_path_and_only_as_deep_as_asked(door: Any) -> None:
    parsed = door.parse(b'{"messages":[{"role":"user"},{"role":"a","role":"b"}]}')
    assert door.first_duplicate(parsed, levels=1) is None
    assert door.first_duplicate(parsed, levels=2) == "messages[1].role"


def test_huge_integers_stay_exact(door: Any) -> None:
    assert door.parse(b"[12345678901234567890123, -9223372036854775809]") == [12345678901234567890123, -(2**63) - 1]
    assert door.dump([12345678901234567890123]) == b"[12345678901234567890123]"


def test_lone_surrogates_become_the_replacement_character(door: Any) -> None:
    assert door.parse(b'{"\\ud83d":"x\\udc00y \\ud83d\\ude00"}') == {"\ufffd": "x\ufffdy 😀"}
    assert door.dump("a\ud800b") == '"a\ufffdb"'.encode()


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b'{"a":}', "line 1, column 6"),
        (b"", "not valid JSON"),
        (b"{} {}", "not valid JSON"),
        (b"NaN", "NaN"),
        (b"[Infinity]", "Infinity"),
        (b"[1e999]", "too large"),
        (b'"\xff"', "UTF-8"),
        (b"[" * 255 + b"]" * 255, "deeper than 254"),
        (b"[" * 100_000, "deeper than 254|not valid JSON"),
        (b"[" + b"9" * 5000 + b"]", "5000 digits"),
        (b'{"a":1,}', "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
    ],
)
def test_what_is_no_json_is_refused_with_words(door: Any, raw: bytes, word: str) -> None:
    with pytest.raises(jsons.JsonError, match=word):
        door.parse(raw)


def test_depth_at_the_limit_is_taken(door: Any) -> None:
    door.parse(b"[" * jsons.MAX_DEPTH + b"]" * jsons.MAX_DEPTH)


@pytest.mark.parametrize("raw", [b"[]", b"1", b'"x"', b"null", b"true"])
def test_only_an_object_is_a_request(door: Any, raw: bytes) -> None:
    with pytest.raises(jsons.JsonError, match="expected a JSON object, found"):
        door.parse_object(raw)


def test_nan_is_written_as_null_by_both(door: Any) -> None:
    assert door.dump({"a": float("nan")}) == b'{"a":null}'
