"""What a person writes for a place, and which key goes where."""

from __future__ import annotations

import pytest

from ds2api.compare.places import Place, read_places, with_keys, with_models
from ds2api.dialects.registry import DIALECTS

KEYS = {"OPENAI_API_KEY": "sk-openai-000000", "ANTHROPIC_API_KEY": "sk-ant-00000000", "MINE": "sk-mine-0000000"}


def place(text: str, dialect: str | None = None) -> Place:
    return read_places([text], dialect)[0]


@pytest.mark.parametrize(
    ("text", "name", "dialect", "url"),
    [
        ("http://127.0.0.1:4000", "127.0.0.1:4000", "", "http://127.0.0.1:4000/v1"),
        ("127.0.0.1:4000", "127.0.0.1:4000", "", "http://127.0.0.1:4000/v1"),
        ("http://127.0.0.1:4000/v1/", "127.0.0.1:4000", "", "http://127.0.0.1:4000/v1"),
        ("litellm=http://127.0.0.1:4000", "litellm", "", "http://127.0.0.1:4000/v1"),
        ("messages=http://127.0.0.1:4000", "127.0.0.1:4000", "messages", "http://127.0.0.1:4000/v1"),
        ("a:messages=http://127.0.0.1:4000", "a", "messages", "http://127.0.0.1:4000/v1"),
        ("api.mistral.ai", "api.mistral.ai", "mistral", "https://api.mistral.ai/v1"),
        ("gemini=http://h", "h", "gemini", "http://h/v1beta"),
        ("http://h/v1/chat/completions", "h", "chat", "http://h/v1"),
        ("http://h/v1/messages", "h", "messages", "http://h/v1"),
        ("https://api.openai.com", "api.openai.com", "chat", "https://api.openai.com/v1"),
        ("responses=https://api.openai.com", "api.openai.com", "responses", "https://api.openai.com/v1"),
        ("https://api.anthropic.com", "api.anthropic.com", "messages", "https://api.anthropic.com/v1"),
        ("https://api.deepseek.com/anthropic", "api.deepseek.com", "messages", "https://api.deepseek.com/anthropic/v1"),
        ("https://api.groq.com", "api.groq.com", "chat", "https://api.groq.com/openai/v1"),
        (
            "https://generativelanguage.googleapis.com", "generativelanguage.googleapis.com", "gemini",
            "https://generativelanguage.googleapis.com/v1beta",
        ),
    ],
)  # fmt: skip
def test_a_place_is_read_as_it_was_meant(text: str, name: str, dialect: str, url: str) -> None:
    one = place(text)
    assert (one.name, one.dialect) == (name, dialect)
    assert Place(one.name, one.url, one.dialect or "chat").endpoint().url == url


def test_every_dialect_can_be_said() -> None:
    assert [place(f"{name}=http://h").dialect for name in DIALECTS] == list(DIALECTS)
    assert place("http://h", "ollama").dialect == "ollama"
    assert place("chat=http://h", "ollama").dialect == "chat"


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["ftp://h"], "not an http"),
        (["http://user:sk-secret@h"], "no user name or key"),
        (["http://h?key=sk-secret"], "holds no key"),
        (["http://h?x=1"], "of a query only"),
        (["=http://h"], "NAME=URL"),
        (["a=http://h", "a=http://i"], "one name"),
    ],
)
def test_what_is_no_place_is_said_so(texts: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        read_places(texts, None)
    assert "sk-secret" not in str(raised.value)


def test_the_same_place_twice_has_two_names() -> None:
    assert [one.name for one in read_places(["chat=http://h", "messages=http://h"], None)] == ["h", "h (messages)"]


def test_a_provider_gets_its_usual_key_and_nobody_elses() -> None:
    places = with_keys(read_places(["https://api.openai.com", "https://api.anthropic.com", "http://h"], None), [], KEYS)
    shown = [one.credential(KEYS) for one in places if one.dialect]
    assert shown == [[("authorization", "Bearer sk-openai-000000")], [("x-api-key", "sk-ant-00000000")]]
    assert places[2].key_variable == ""
    assert with_keys(read_places(["http://api.openai.com"], None), [], KEYS)[0].key_variable == ""  # not over TLS


def test_a_key_for_all_is_refused_where_all_are_strangers() -> None:
    places = read_places(["a=https://a.example", "b=https://b.example", "here=http://127.0.0.1:1"], None)
    with pytest.raises(ValueError, match="whose key is it"):
        with_keys(places, ["MINE"], KEYS)
    assert [one.key_variable for one in with_keys(places, ["MINE", "b=OPENAI_API_KEY"], KEYS)] == [
        "MINE", "OPENAI_API_KEY", "MINE",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("NOT_SET", "NOT_SET: this environment variable is not set"),
        ("c=MINE", "no place 'c'"),
        ("sk-a-key-1", "never the key"),
    ],
)
def test_a_wrong_key_option_is_told_without_showing_a_key(named: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        with_keys(read_places(["a=http://h"], None), [named], KEYS)
    assert "sk-a-key-1" not in str(raised.value)


def test_models_for_all_and_for_one() -> None:
    places = read_places(["a=http://h", "b=http://i"], None)
    assert [one.model for one in with_models(places, ["m", "b=n/o:p"])] == ["m", "n/o:p"]


@pytest.mark.parametrize(
    ("url", "is_local"),
    [("http://localhost:1", True), ("http://[::1]:1", True), ("http://127.8.8.8", True), ("http://127.0.0.1.nip.io", False),
     ("https://api.openai.com", False)],
)  # fmt: skip
def test_what_is_on_this_machine(url: str, is_local: bool) -> None:
    assert place(url).is_local is is_local
