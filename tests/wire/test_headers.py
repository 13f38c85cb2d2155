"""The mapping of a head's fields."""

from __future__ import annotations

from ds2api.wire.headers import Headers, list_members


def test_the_first_value_counts_and_all_are_kept() -> None:
    headers = Headers([("a", "1"), ("b", "2"), ("a", "3")])
    assert headers["a"] == "1"
    assert headers.get("a") == "1"
    assert headers.get("c") is None
    assert headers.get("c", "x") == "x"
    assert headers.all("a") == ["1", "3"]
    assert headers.all("c") == []
    assert "a" in headers
    assert "c" not in headers
    assert list(headers) == ["a", "b"]
    assert len(headers) == 2
    assert headers.items_list == [("a", "1"), ("b", "2"), ("a", "3")]


def test_a_repr_holds_no_value() -> None:
    assert repr(Headers([("authorization", "Bearer sk-secret")])) == "Headers(authorization)"


def test_lists_over_several_fields() -> None:
    assert list_members([" A ,b,, ", "", "\tC"]) == ["a", "b", "c"]
