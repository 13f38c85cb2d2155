"""What the gateway answers by itself, and to whom."""

from __future__ import annotations

import json
from typing import Any

import pytest

import ds2api
from ds2api.gateway.app import App
from ds2api.gateway.callers import key_hash
from ds2api.wire.headers import Headers
from ds2api.wire.heads import Learned

pytestmark = pytest.mark.anyio

PROVIDERS = {"p": {"dialects": ["chat"], "base_url": "http://127.0.0.1:1", "auth": "none"}}
ADMIN = {"admin": {"key_hash": key_hash("the admin key")}}
CALLERS = {"callers": {"alice": {"key_hash": key_hash("a caller's key")}}}


class Asked:
    """A request for `path` from `peer`, and the answer that it got."""

    def __init__(self, path: str, peer: str = "127.0.0.1", key: str = "", method: str = "GET") -> None:
        self.method, self.path, self.query, self.peer = method, path, "", peer
        self.headers = Headers([("authorization", f"Bearer {key}")] if key else [])
        self.learned = Learned()
        self.status = 0
        self.body: Any = None

    def respond(self, status: int, headers: object, body: bytes = b"", *, close: bool = False) -> None:
        self.status, self.body = status, json.loads(body)


async def ask(asked: Asked, **more: Any) -> Asked:
    config = ds2api.from_mapping({"listen": "127.0.0.1:0", "providers": PROVIDERS, "log": "off", **more}, {})
    async with ds2api.Gateway(config, environment={}) as gateway:
        await App(gateway.house).handle(asked)  # type: ignore[arg-type]
    return asked


@pytest.mark.parametrize(
    ("peer", "key", "more", "status"),
    [
        ("127.0.0.1", "", {}, 200),
        ("::1", "", {}, 200),
        ("unix:", "", {}, 200),
        ("192.0.2.7", "", {}, 403),  # reached through --open
        ("127.0.0.1", "", CALLERS, 403),
        ("127.0.0.1", "a caller's key", CALLERS, 403),
        ("192.0.2.7", "the admin key", ADMIN, 200),
        ("127.0.0.1", "", ADMIN, 401),
        ("127.0.0.1", "a caller's key", {"admin": ADMIN["admin"], **CALLERS}, 401),
    ],
)
async def test_pool_is_shown_to_the_operator_only(peer: str, key: str, more: dict[str, Any], status: int) -> None:
    asked = await ask(Asked("/admin/accounts", peer, key), **more)
    assert asked.status == status
    assert ("accounts" in asked.body) == (status == 200)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health_needs_no_key(path: str) -> None:
    assert (await ask(Asked(path, "192.0.2.7"), **CALLERS)).status == 200


async def test_unknown_path_names_the_known_ones() -> None:
    asked = await ask(Asked("/v1/nothing"))
    assert asked.status == 404
    assert "/v1/chat/completions" in asked.body["error"]["message"]


async def test_reload_names_what_needs_a_restart_and_applies_the_rest() -> None:
    table = {"listen": "127.0.0.1:0", "providers": PROVIDERS, "log": "off"}
    async with ds2api.Gateway(ds2api.from_mapping(table, {}), environment={}) as gateway:
        fresh = {**table, "timeouts": {"head_total_s": 3, "event_idle_s": 7}, "pool": {"proofs": 5}}
        assert gateway.reload(ds2api.from_mapping(fresh, {})) == ["timeouts of the wire: changes with a restart"]
        assert gateway.house.deadlines.event_idle_s == 7
