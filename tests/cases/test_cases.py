"""The golden cases: what becomes of each feature of each client protocol on each upstream protocol.

`requests/CLIENT/FEATURE.json` holds one request in one protocol and, for each of the six upstreams, what came of it: the
path and body that the provider got and the losses that the client was told of; or the refusal, with its words. The
request goes through a gateway, on sockets; an upstream that checks it strictly must find nothing wrong. With an upstream
of the client's own protocol the body arrives byte for byte, apart from `model` and chat's `stream_options` ("relayed").

`streams/UPSTREAM-FEATURE.json` holds a provider's stream and what each client's stream becomes, in text.

    DS2API_WRITE_CASES=1 python -m pytest tests/cases -p no:xdist

writes all results anew (a new file needs its request or stream alone); a diff is read as a change of what users lose.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.end_to_end.answers import serve_text
from tests.end_to_end.harness import Running, gateway_for
from tests.end_to_end.mock import Mock, faults_of, mock_upstream
from tests.end_to_end.tables import provider, table
from tools import fidelity

from ds2api.dialects.contract import Asker
from ds2api.dialects.registry import DIALECTS
from ds2api.universal.envelope import Sealer

_HERE = Path(__file__).parent
_WRITES = bool(os.environ.get("DS2API_WRITE_CASES"))
REQUESTS = sorted((_HERE / "requests").glob("*/*.json"))
STREAMS = sorted((_HERE / "streams").glob("*.json"))
# What each upstream is asked for: models that think where that is told by the name, and take sampling.
MODELS = {
    "chat": "gpt-5.4",
    "responses": "gpt-5.4",
    "messages": "claude-sonnet-4-5",
    "gemini": "gemini-2.5-flash",
    "ollama": "qwen3",
    "mistral": "mistral-medium-latest",
}
# For what thinking models refuse: sampling, stops. A case asks for these with `"plain": true`.
PLAIN = {**MODELS, "chat": "gpt-4.1", "responses": "gpt-4.1"}
_SEALER = Sealer(b"s" * 32)
_HEADERS = {
    "messages": {"anthropic-version": "2023-06-01"},
    "mistral": {"user-agent": "mistral-client-python"},
    "gemini": {"x-goog-api-key": "none"},
}


def save(path: Path, case: dict[str, Any]) -> None:
    path.write_text(_laid_out(case, 4) + "\n", encoding="utf-8")


def _laid_out(value: Any, levels: int, margin: str = "\n") -> str:
    """JSON for reading: the fields of a request, or the lines of a stream, each on a line."""
    if not levels or not value or not isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    inner = margin + " "
    if isinstance(value, list):
        return f"[{','.join(inner + _laid_out(one, levels - 1, inner) for one in value)}{margin}]"
    pairs = (f"{inner}{json.dumps(name)}: {_laid_out(one, levels - 1, inner)}" for name, one in value.items())
    return f"{{{','.join(pairs)}{margin}}}"


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[Mock, Running]]:
    with mock_upstream(serve_text, is_strict=False) as mock:
        providers = {f"at-{name}": provider(mock.url_of(name), name) for name in MODELS}
        providers["at-chat"]["flavour"] = "openai"
        models = {f"over-{name}": f"at-{name}/{model}" for name, model in MODELS.items()}
        models |= {f"plain-{name}": f"at-{name}/{model}" for name, model in PLAIN.items()}
        with gateway_for(table(providers, models)) as gateway:
            yield mock, gateway
            assert gateway.leases() == 0


@pytest.mark.parametrize("file", REQUESTS, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_a_request_arrives_as_it_is_written_down(place: tuple[Mock, Running], file: Path) -> None:
    case = json.loads(file.read_text(encoding="utf-8"))
    found = {target: outcome(place, file.parent.name, target, case["request"]) for target in MODELS}
    if _WRITES:
        save(file, {"request": case["request"], "targets": found})
    else:
        assert found == case["targets"]


def outcome(place: tuple[Mock, Running], client: str, target: str, request: dict[str, Any]) -> dict[str, Any]:
    mock, gateway = place
    is_plain = request.get("plain", False)
    alias, model = f"{'plain' if is_plain else 'over'}-{target}", (PLAIN if is_plain else MODELS)[target]
    body = json.dumps(request["body"], ensure_ascii=False).replace('"MODEL"', f'"{alias}"').encode()
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    try:
        headers = {"content-type": "application/json", **_HEADERS.get(client, {}), **request.get("headers", {})}
        connection.request("POST", request["path"].replace("MODEL", alias), body, headers)
        answer = connection.getresponse()
        raw = answer.read()
        losses = answer.headers.get_all("x-ds2api-warning", [])
    finally:
        connection.close()
    if answer.status != 200:
        assert mock.received == [], f"the gateway's own request was refused: {raw!r}"
        return {"refused": answer.status, **said(json.loads(raw))}
    received = mock.received.pop()
    assert mock.received == []
    found: dict[str, Any] = {"path": received.target}
    relayed = body.replace(alias.encode(), model.encode())
    if received.body in (relayed, relayed[:-1] + b',"stream_options":{"include_usage":true}}'):
        found["relayed"] = True
    else:
        assert client != target, "a relayed body was changed"
        assert faults_of(received) == []
        found["request"] = received.json
    return {**found, "losses": losses}


def said(body: dict[str, Any]) -> dict[str, Any]:
    """What an error says, whatever its protocol: its words, and the field where its shape has a place for it."""
    error: Any = body.get("error") or body
    if isinstance(error, str):
        return {"message": error}
    param = {"param": error["param"]} if error.get("param") else {}
    return {"message": error["message"], **param}


@pytest.mark.parametrize("file", STREAMS, ids=lambda file: file.stem)
def test_a_stream_reaches_each_client_as_it_is_written_down(file: Path) -> None:
    case = json.loads(file.read_text(encoding="utf-8"))
    found = {name: translated(case["upstream"], "".join(case["stream"]), name) for name in MODELS}
    if _WRITES:
        save(file, {"upstream": case["upstream"], "stream": case["stream"], "clients": found})
    else:
        assert found == case["clients"]


def translated(upstream: str, stream: str, client: str) -> dict[str, Any]:
    numbers = itertools.count()
    asker = Asker(
        "m", "req_own", 1_760_000_000, lambda: f"new{next(numbers)}", wants_usage=True, provider="p", sealer=_SEALER
    )
    decoder, encoder = DIALECTS[upstream].decoder(), DIALECTS[client].encoder(asker)
    written = encoder.encode(decoder.feed(stream.encode()))
    written += encoder.encode(decoder.end())
    events = re.findall(r"(?s).+?\n\n|.+?\n(?=\{)|.+", written.decode())
    return {"stream": events, "losses": [one.warning for one in encoder.losses]}


@pytest.mark.skipif(_WRITES, reason="the page is made after the cases")
def test_the_page_agrees_with_what_it_is_made_from() -> None:
    assert fidelity.PAGE.read_text(encoding="utf-8") == fidelity.page(), "run: python3 tools/dev.py docs"
