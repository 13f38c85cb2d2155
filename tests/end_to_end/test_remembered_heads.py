"""What is remembered between two requests of a connection (who calls, an account's head) ends with what it came of."""

from __future__ import annotations

import http.client
import json
from typing import Any

from tests.end_to_end.answers import serve
from tests.end_to_end.harness import gateway_for
from tests.end_to_end.keys import caller_key, caller_table, upstream_key
from tests.end_to_end.mock import mock_upstream
from tests.end_to_end.tables import accounts, provider, table

import ds2api


def ask(connection: http.client.HTTPConnection, caller: str, text: str = "Hello") -> int:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]})
    head = {"content-type": "application/json", "authorization": f"Bearer {caller_key(caller)}"}
    connection.request("POST", "/v1/chat/completions", body, head)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_a_reload_is_felt_by_the_next_request_of_a_kept_connection() -> None:
    with mock_upstream(serve) as mock:

        def settings(caller: str, key: str) -> dict[str, Any]:
            up = {**provider(mock.url, "chat"), "accounts": [{**accounts("a")[0], "key": upstream_key(key)}]}
            return {"listen": "127.0.0.1:0", **table({"p": up}), "callers": caller_table(caller)}

        with gateway_for(settings("alice", "a")) as gateway:
            connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
            assert [ask(connection, "alice", text) for text in ("one", "two", "longer")] == [200, 200, 200]
            new = ds2api.from_mapping(settings("bob", "b"), {})
            gateway.call(lambda: gateway.gateway.reload(new))
            assert ask(connection, "alice") == 401, "a key that is no more opens nothing"
            assert ask(connection, "bob") == 200
            connection.close()
        used = [received.key for received in mock.received]
        assert used == [*[upstream_key("a")] * 3, upstream_key("b")], "the new key leaves, the old one never again"


def test_another_key_on_the_same_connection_is_looked_at() -> None:
    callers = caller_table("alice")
    with (
        mock_upstream(serve) as mock,
        gateway_for({**table({"p": provider(mock.url, "chat")}), "callers": callers}) as up,
    ):
        connection = http.client.HTTPConnection("127.0.0.1", up.port, timeout=30)
        assert [ask(connection, name) for name in ("alice", "mallory", "alice")] == [200, 401, 200]
        connection.close()
