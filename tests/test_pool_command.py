"""`ds2api pool`: what a person reads of the pool, and how the command finds the gateway. Against real gateways it is
tried in `end_to_end/test_admin_pool.py`."""

from __future__ import annotations

import argparse
import io
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2api.pool_command import find, pool
from ds2api.pool_page import explanation_text, page, shown_duration

HEALTHS = ("ready", "cooling", "suspended", "dead", "draining")


def quota(headroom: float = 0.5, **more: Any) -> dict[str, Any]:
    known = {"model": "gpt-4.1", "dimension": "tokens", "limit": 200_000.0, "source": "learned", "free_in_s": 0.0}
    return {**known, "headroom": headroom, **more}


def account(number: int = 0, health: str = "ready", **more: Any) -> dict[str, Any]:
    return {
        "id": f"openai/key-{number}", "provider": "openai", "group": "", "priority": 0, "tags": [], "health": health,
        "in_flight": 3, "served": 1234, "refused": 5, "out_for_s": 0.0 if health == "ready" else 41.2,
        "reason": "" if health == "ready" else "429 rate_limit_exceeded", "since_s": None, "last_verdict": "",
        "last_verdict_s": None, "resting": {}, "quotas": [quota()], **more,
    }  # fmt: skip


def view(*accounts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"accounts": list(accounts), "circuits": [], "lines": [], "groups": [], "recent": [], **more}


LINE = {
    "provider": "openai", "model": "gpt-4.1", "tags": ["paid"], "waiting": 7, "longest_wait_s": 1.25,
    "callers": {"alice": 2, "": 5}, "next_in_s": 0.8,
}  # fmt: skip
CIRCUIT = {
    "provider": "openai", "model": "gpt-4.1", "state": "open", "opens_in_s": 12.3, "failures": 5, "reason": "503",
}  # fmt: skip
GROUP = {"name": "organisation x", "provider": "openai", "accounts": ["openai/a", "openai/b"], "found": True}
CHOICE = {"ago_s": 0.4, "caller": "", "model": "gpt-4.1", "account": "openai/a", "why": "home of the conversation"}
MORE = {"lines": [LINE], "circuits": [CIRCUIT], "groups": [GROUP], "recent": [CHOICE] * 9}


@pytest.mark.parametrize("width", [80, 200])
def test_a_newcomer_reads_what_is_there_and_why(width: int) -> None:
    text = page(
        view(
            account(0),
            account(1, "cooling"),
            account(2, "dead", out_for_s=None, reason="401 invalid_api_key"),
            account(3, quotas=[]),
            account(4, "cooling", out_for_s=0.0, resting={"gpt-4.1": 30.0, "o3": 9.0}, reason="404"),
            account(5, quotas=[quota(0.9), quota(0.0, dimension="requests", free_in_s=3.2)]),
            **MORE,
        ),
        width=width,
    )
    for words in (
        "18 running, 7 in line · 6 accounts: 3 ready, 2 cooling, 1 dead",
        " 50%",
        "cooling 41s · 429 rate_limit_exceeded",
        "dead · 401 invalid_api_key",
        "unknown",
        "cooling 30s for gpt-4.1 +1 · 404",
        "ready · more requests in 3.2s",
        "openai/gpt-4.1 [paid]",
        "anonymous 5, alice 2",
        "open 12s",
        "found out",
        "home of the conversation",
    ):
        assert words in text, words
    assert ("200,000 tokens/min of gpt-4.1, learned" in text) == (width == 200)
    assert "\x1b" not in text


@given(
    st.lists(st.tuples(st.sampled_from(HEALTHS), st.floats(0, 1), st.text(max_size=40), st.booleans()), max_size=40),
    st.integers(20, 220),
    st.none() | st.integers(6, 60),
    st.booleans(),
)
def test_a_page_fits_its_terminal(
    given: list[tuple[str, float, str, bool]], width: int, height: int | None, is_full: bool
) -> None:
    accounts = [
        account(number, health, reason=reason, quotas=[quota(headroom)] if told else [])
        for number, (health, headroom, reason, told) in enumerate(given)
    ]
    lines = page(view(*accounts, **(MORE if is_full else {})), width=width, height=height).split("\n")
    assert max(map(len, lines)) <= max(width, 60)
    shown = {number for number in range(len(accounts)) if any(f"openai/key-{number} " in line for line in lines)}
    if height is None:
        assert len(shown) == len(accounts)
        return
    assert len(lines) <= height
    if len(shown) < len(accounts):
        assert any(f"… and {len(accounts) - len(shown)} more" in line for line in lines)
        left_out = [given[number][0] for number in range(len(accounts)) if number not in shown]
        if "ready" in {given[number][0] for number in shown}:
            assert set(left_out) == {"ready"}, "somebody in trouble was left out for one who is well"


def test_300_accounts_fit_24_lines_and_those_in_trouble_are_shown() -> None:
    accounts = [account(number, "dead" if number in (17, 170) else "ready") for number in range(300)]
    text = page(view(*accounts, **MORE), width=80, height=24)
    assert len(text.split("\n")) <= 24
    assert "openai/key-17 " in text
    assert "openai/key-170 " in text
    assert len(page(view(*accounts), width=80).split("\n")) == 303


def test_what_comes_from_outside_moves_no_cursor() -> None:
    evil = "\x1b[2J\r\n\x07x\u202e"
    model = {**LINE, "model": evil}
    text = page(
        view(
            account(0, "cooling", reason=evil, last_verdict=evil, last_verdict_s=1.0, resting={evil: 1.0}),
            account(1, quotas=[quota(model=evil)]),
            lines=[model],
            circuits=[{**CIRCUIT, "reason": evil}],
            recent=[{**CHOICE, "model": evil, "caller": evil}],
        ),
        width=200,
    ) + explanation_text({"model": evil, "caller": "c", "chosen": None, "why": evil, "others": []}, 80)
    assert all(character.isprintable() or character == "\n" for character in text)
    assert text.count("\n") == page(view(account(0), account(1), **MORE), width=200).count("\n") - 3 - 4


def test_colours_are_for_terminals_and_change_no_letter() -> None:
    one = view(account(0), account(1, "dead"))
    coloured = page(one, width=80, is_coloured=True)
    assert "\x1b[31m" in coloured
    assert re.sub(r"\x1b\[\d*m", "", coloured) == page(one, width=80)
    assert page(one, width=80, is_plain=True).isascii()


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0, "0.0s"), (0.44, "0.4s"), (9.96, "10s"), (59.4, "59s"), (60, "1m00s"), (192, "3m12s"), (7500, "2h05m"),
     (86_400 * 3 + 4 * 3600, "3d04h")],
)  # fmt: skip
def test_durations(seconds: float, shown: str) -> None:
    assert shown_duration(seconds) == shown


def test_an_explanation_names_every_other_account() -> None:
    text = explanation_text(
        {
            "model": "fast", "caller": "alice", "chosen": "openai/a", "why": "most headroom",
            "others": [{"account": "openai/b", "reason": "cooling"}, {"account": "openai/long-name", "reason": "dead"}],
        },
        80,
    )  # fmt: skip
    assert text.split("\n") == [
        "fast for alice → openai/a: most headroom",
        "  openai/b          cooling",
        "  openai/long-name  dead",
    ]


@pytest.mark.parametrize(
    ("url", "config", "shown", "host"),
    [
        (None, None, "http://127.0.0.1:8787", "127.0.0.1"),
        (None, 'listen = "0.0.0.0:99"', "http://127.0.0.1:99", "127.0.0.1"),
        (None, 'listen = "[::]:99"', "http://[::1]:99", "::1"),
        (None, 'listen = ["fd:3", "unix:/x/y"]', "unix:/x/y", "localhost"),
        (None, 'listen = ["127.0.0.1:0", "gateway:80"]', "http://gateway", "gateway"),
        ("https://gateway.example", None, "https://gateway.example", "gateway.example"),
        ("gateway.example:81", None, "http://gateway.example:81", "gateway.example"),
        ("unix:/x", 'listen = "127.0.0.1:1"', "unix:/x", "localhost"),
    ],
)
def test_where_the_gateway_is(url: str | None, config: str | None, shown: str, host: str, tmp_path: Path) -> None:
    file = tmp_path / "ds2api.toml"
    if config is not None:
        file.write_text(f'{config}\n[providers.openai]\naccounts = [{{ key_env = "NOT_SET_HERE" }}]\n')
    place = find(url, None, file)
    assert (place.shown, place.origin.host) == (shown, host)


def test_over_tls_the_configured_certificate_is_trusted(tmp_path: Path) -> None:
    file = tmp_path / "ds2api.toml"
    for name in ("c.pem", "k.pem"):
        (tmp_path / name).write_text("x")
    file.write_text(f'[tls]\ncertificate_file = "{tmp_path}/c.pem"\nkey_file = "{tmp_path}/k.pem"\n')
    origin = find(None, None, file).origin
    assert origin.scheme == "https"
    assert origin.tls is not None
    assert origin.tls.ca_file == f"{tmp_path}/c.pem"


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        ({"deed": "drain"}, 2, "which account?"),
        ({"deed": "rest", "account": "a"}, 2, "--for SECONDS"),
        ({"deed": "drain", "account": "a", "seconds": 3.0}, 2, "--for SECONDS"),
        ({"key_env": "NOT_SET_HERE"}, 2, "NOT_SET_HERE"),
        ({"url": "ftp://x"}, 2, "no place of a gateway"),
        ({"url": "http://x:99999"}, 2, "no place of a gateway"),
        ({"url": "http://user:secret@x"}, 2, "no place of a gateway"),
        ({"url": "http://127.0.0.1:1"}, 1, "does not answer"),
    ],
)
def test_a_mistake_is_one_sentence(
    options: dict[str, Any], status: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("deed", "account", "seconds", "once", "json", "explain", "caller", "url", "key_env", "config")
    given = argparse.Namespace(**{**dict.fromkeys(names), **options})
    out = io.StringIO()
    assert pool(given, {}, tmp_path / "none.toml", out) == status
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert "secret" not in said
    assert out.getvalue() == ""
