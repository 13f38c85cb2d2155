"""Callers are found by the digest of their key, and no key is ever repeated."""

from __future__ import annotations

import copy
import pickle

import pytest

from ds2api.gateway.callers import ANONYMOUS, Caller, Callers, key_hash, new_key
from ds2api.gateway.secret import Secret
from ds2api.universal.errors import Kind, Problem

KEY = "ds2-a-long-random-key-of-alice"
ALICE = Caller("alice")


def callers() -> Callers:
    return Callers([(key_hash(KEY), ALICE)])


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer  {KEY} "},
        {"x-api-key": KEY},
        {"api-key": KEY},
        {"x-goog-api-key": KEY},
        {"authorization": "Basic abc", "x-api-key": KEY},
    ],
)
def test_key_is_found_wherever_sdks_put_it(headers: dict[str, str]) -> None:
    assert callers().identify(headers) is ALICE


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer "}, {"authorization": KEY}, {"x-api-key": ""}])
def test_no_key_is_told_where_to_put_one(headers: dict[str, str]) -> None:
    with pytest.raises(Problem, match="no key was sent") as caught:
        callers().identify(headers)
    assert caught.value.error.kind is Kind.UNAUTHENTICATED


@pytest.mark.parametrize("wrong", ["sk-ant-a-providers-real-key-0123456789", KEY + "x", KEY[:-1], "é"])
def test_wrong_key_is_named_by_its_header_and_never_repeated(wrong: str) -> None:
    with pytest.raises(Problem, match="`x-api-key`") as caught:
        callers().identify({"x-api-key": wrong})
    assert wrong not in str(caught.value)


def test_without_callers_everybody_is_anonymous() -> None:
    assert Callers([]).identify({}) is ANONYMOUS


def test_two_callers_cannot_share_a_key() -> None:
    with pytest.raises(ValueError, match="'alice' and 'bob' have the same key"):
        Callers([(key_hash(KEY), ALICE), (key_hash(KEY), Caller("bob"))])


def test_new_keys_are_long_random_and_different() -> None:
    keys = {new_key() for _ in range(50)}
    assert len(keys) == 50
    assert all(len(key) > 40 and key.startswith("ds2-") for key in keys)


def test_a_secret_does_not_slip_out() -> None:
    value = "sk-proj-0123456789abcdefghijklmnop-wxyz"
    secret = Secret(value)
    shown = [str(secret), repr(secret), f"{secret}", f"{secret!r}", str([secret]), repr([secret]), repr({"a": secret})]
    assert set(shown) <= {"Secret(sk-…wxyz)", "[Secret(sk-…wxyz)]", "{'a': Secret(sk-…wxyz)}"}
    assert secret.reveal() == value
    assert value not in secret.tag
    for leak in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            leak(secret)


@pytest.mark.parametrize(
    ("value", "shown"), [("short", "…"), ("0123456789abcdef", "…cdef"), ("sk-ant-api03-xyzw", "sk-…xyzw")]
)
def test_what_people_see_of_a_key(value: str, shown: str) -> None:
    assert Secret(value).shown == shown
