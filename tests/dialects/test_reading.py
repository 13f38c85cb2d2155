"""Fields are read by type; what nobody asked for is what remains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ds2api.dialects import reading
from ds2api.dialects.reading import Fields
from ds2api.universal.errors import Kind, Problem

VALUES: dict[str, Any] = {
    "null": None, "a boolean": True, "a number": 1.5, "a string": "x", "an array": [], "an object": {},
}  # fmt: skip
READERS: dict[str, tuple[Callable[[Any, str], Any], set[str]]] = {
    "text_of": (reading.text_of, {"a string"}), "list_of": (reading.list_of, {"an array"}),
    "object_of": (reading.object_of, {"an object"}), "boolean_of": (reading.boolean_of, {"a boolean"}),
    "number_of": (reading.number_of, {"a number"}), "integer_of": (reading.integer_of, set()),
    "maybe_text": (reading.maybe_text, {"null", "a string"}), "maybe_list": (reading.maybe_list, {"null", "an array"}),
    "maybe_object": (reading.maybe_object, {"null", "an object"}), "maybe_boolean": (reading.maybe_boolean, {"null", "a boolean"}),
    "maybe_number": (reading.maybe_number, {"null", "a number"}), "maybe_integer": (reading.maybe_integer, {"null"}),
}  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", VALUES)
def test_every_reader_takes_its_types_and_no_other(reader: str, kind: str) -> None:
    read, accepted = READERS[reader]
    if kind in accepted:
        assert read(VALUES[kind], "a.b") == VALUES[kind]
        return
    with pytest.raises(Problem) as raised:
        read(VALUES[kind], "a.b")
    error = raised.value.error
    assert (error.kind, error.param) == (Kind.BAD_REQUEST, "a.b")
    assert error.message.startswith("a.b: expected ")
    assert "found" in error.message


@pytest.mark.parametrize(("value", "read"), [(3, 3), (3.0, 3), (10**30, 10**30)])
def test_whole_numbers_are_integers(value: Any, read: int) -> None:
    assert reading.integer_of(value, "p") == read


def test_number_below_the_lowest_is_refused() -> None:
    with pytest.raises(Problem, match="p: expected an integer of at least 1, found 0"):
        reading.integer_of(0, "p", 1)


def test_word_is_one_of_the_accepted() -> None:
    assert reading.one_of("a", "p", ("a", "b")) == "a"
    with pytest.raises(Problem, match='p: expected one of "a", "b", found "c"'):
        reading.one_of("c", "p", ("a", "b"))


def test_what_came_is_shown_short() -> None:
    assert reading.shown("x" * 500) == '"' + "x" * 60 + '…"'
    assert reading.shown(["secret"]) == "an array"


def test_paths_are_written_as_clients_write_them() -> None:
    assert reading.at("", "model") == "model"
    assert reading.at(reading.at("messages", 2), "content") == "messages[2].content"


def test_rest_is_what_nobody_took() -> None:
    fields = Fields({"a": "x", "b": None, "c": 3, "d": None}, "q")
    assert fields.text("a") == "x"
    assert fields.maybe_text("b") is None
    assert fields.rest() == {"c": 3, "d": None}
    assert fields.rest(without=["d"]) == fields.said() == {"c": 3}
    assert fields.holds("c")
    assert not fields.holds("d")
    fields.keep("a", {"left": 1})
    assert fields.rest()["a"] == {"left": 1}
    assert fields.at("c") == "q.c"


def test_reading_leaves_the_body_as_it_is() -> None:
    body = {"a": "x"}
    Fields(body).text("a")
    assert body == {"a": "x"}


@pytest.mark.parametrize("method", ["text", "array", "object"])
def test_missing_field_is_named(method: str) -> None:
    with pytest.raises(Problem, match=r"q\.a: required"):
        getattr(Fields({}, "q"), method)("a")


def test_body_that_is_no_object_is_named() -> None:
    with pytest.raises(Problem, match="the request: expected an object, found an array"):
        Fields([])
