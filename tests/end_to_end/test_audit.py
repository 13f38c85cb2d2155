"""`ds2api audit`: its claim, its proof, and that the proof finds a leak where there is one."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from tests.end_to_end.keys import assert_no_key, caller_table, upstream_key
from tests.end_to_end.tables import provider, table
from tests.end_to_end.test_cli import run

import ds2api
from ds2api.audit import audit, report
from ds2api.dialects.registry import DIALECTS
from ds2api.wire.upstream import Client

PROVIDERS: dict[str, Any] = {
    "p": provider("https://one.invalid/v1", ["chat", "responses"], "a", "b"),
    "n": {"dialects": ["messages"], "base_url": "https://two.invalid", "accounts": [{"name": "c", "key": upstream_key("c")}]},
    "g": provider("https://three.invalid", "gemini", "d"),
    "o": {"dialects": ["ollama"], "base_url": "http://127.0.0.1:11434", "accounts": [{"name": "none"}], "auth": "none"},
}  # fmt: skip


def audited(providers: dict[str, Any] = PROVIDERS, **more: Any) -> tuple[str, list[str]]:
    config = ds2api.from_mapping({**table(providers), "callers": caller_table("alice"), **more}, {})
    finding = asyncio.run(audit(config))
    text = report(config, finding)
    assert_no_key(text, "the audit's report")
    return text, finding.problems


def test_every_key_goes_to_its_own_origin_only() -> None:
    text, problems = audited()
    assert problems == []
    assert "https://one.invalid/v1, in authorization; TLS, verified" in text
    assert "https://two.invalid/v1, in x-api-key" in text
    assert " no requests" not in text
    paths = {(route.method, route.path) for dialect in DIALECTS.values() for route in dialect.routes}
    assert int(text.split(" paths,")[0].split()[-1]) > len(paths)


def test_a_key_among_fixed_headers_is_found() -> None:
    wrong = {**PROVIDERS, "n": {**PROVIDERS["n"], "headers": {"x-other": upstream_key("a")}}}
    assert audited(wrong)[1] == ["providers.n.headers.x-other is the key of p/a"]


def test_a_key_in_another_field_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    send = Client.send

    async def leaking(
        client: Client, origin: Any, method: str, target: str, headers: Any, body: bytes, **more: Any
    ) -> Any:
        copies = [("x-copy", value) for name, value in headers if name in ("authorization", "x-api-key")]
        return await send(client, origin, method, target, [*headers, *copies], body, **more)

    monkeypatch.setattr(Client, "send", leaking)
    text, problems = audited()
    assert "the key of p/a stood in `x-copy` of a request to https://one.invalid" in problems
    assert "WRONG" in text and "own origin only" not in text


def test_a_key_at_another_origin_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that follows a redirect, say, or a mixed-up provider."""
    send = Client.send
    origins: list[Any] = []

    async def wandering(client: Client, origin: Any, *more: Any, **named: Any) -> Any:
        if origin.host not in ("localhost", "127.0.0.1"):
            origins.append(origin)
            origin = origins[0]
        return await send(client, origin, *more, **named)

    monkeypatch.setattr(Client, "send", wandering)
    assert any(" went to https://" in problem for problem in audited()[1])


def test_any_other_connection_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    send = Client.send

    async def telling(client: Client, *more: Any, **named: Any) -> Any:
        with socket.socket() as other:
            other.setblocking(False)
            other.connect_ex(("127.0.0.1", 9))
        return await send(client, *more, **named)

    monkeypatch.setattr(Client, "send", telling)
    assert audited()[1] == ["something else was done: socket.connect ('127.0.0.1', 9)"]


def test_the_command_says_it_and_exits(tmp_path: Path) -> None:
    file = tmp_path / "ds2api.toml"
    file.write_text('[providers.openai]\naccounts = [{ name = "a", key_env = "K" }]\n')
    done = run("audit", "--config", str(file), K=upstream_key("a"))
    assert (done.returncode, "openai/a" in done.stdout, "own origin only" in done.stdout) == (0, True, True), (
        done.stderr
    )
