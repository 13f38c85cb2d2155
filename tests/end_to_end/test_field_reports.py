"""Cases of the field reports of the kinds HTTP, security and user friendliness, one a test, the id in its name.

Others stand where their part of the gateway is tested (`grep -ri r141 tests`).
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.end_to_end.answers import chat_error, chat_events, chat_whole, gemini_events, messages_events, serve
from tests.end_to_end.faults.speech import BASES, DIALECTS, read, request
from tests.end_to_end.harness import gateway_for
from tests.end_to_end.keys import assert_no_key, caller_key, caller_table, upstream_key
from tests.end_to_end.mock import Hold, Mock, Received, Reply, mock_upstream
from tests.end_to_end.raw import Answer, connected, exchange
from tests.end_to_end.tables import provider, table
from tests.end_to_end.test_cli import banner, run, serving
from tests.wire.helpers import Received as Seen

import ds2api
from ds2api.gateway.settings import Deadlines
from ds2api.wire.settings import Limits, Timeouts

JSON = {"content-type": "application/json"}
CHAT = "/v1/chat/completions"
HELLO = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9}
every_dialect = pytest.mark.parametrize("dialect", DIALECTS)


def ask(port: int, dialect: str, model: str = "m", *, stream: bool = False, **headers: str) -> Answer:
    """A client's request in its own words."""
    head, _, body = request(dialect, model, stream=stream).partition(b"\r\n\r\n")
    return exchange(port, "POST", head.split(b" ")[1].decode(), body, JSON | headers)


def outcome(dialect: str, answer: Answer, text: str = "Hello", *, stream: bool = False) -> str:
    return read(dialect, Seen(answer.status, dict(answer.headers), answer.body), text, stream=stream)


def at(mock: Mock, dialect: str, *names: str, **settings: Any) -> dict[str, Any]:
    """`mock` as a provider of `dialect`."""
    url = mock.url.removesuffix("/v1") + BASES.get(dialect, "/mistral/v1" if dialect == "mistral" else "/v1")
    return provider(url, dialect, *names, **settings)


# --- HTTP ---


@every_dialect
def test_R131_the_gateway_says_itself_what_it_can_decode(dialect: str) -> None:
    with mock_upstream(serve) as mock, gateway_for(table({"p": at(mock, dialect)})) as gateway:
        answer = ask(gateway.port, dialect, **{"accept-encoding": "gzip, br, zstd"})
        assert outcome(dialect, answer) == "right"
        assert mock.received[0].header("accept-encoding") == "identity"


@pytest.mark.parametrize("size", [2_100_000, 17_000_000, 33_000_000])
def test_R135_images_pass_by_default(size: int) -> None:
    assert Limits().body_bytes >= 32 * 1024 * 1024
    with mock_upstream(serve) as mock, gateway_for(table({"p": provider(mock.url, "chat")})) as gateway:
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'A' * size}"}}
        body = json.dumps({**HELLO, "messages": [{"role": "user", "content": [image]}]}).encode()
        assert exchange(gateway.port, "POST", CHAT, body, JSON).status == 200
        assert len(mock.received[0].body) >= size


@every_dialect
def test_R135_too_large_a_body_is_refused_unread_in_the_clients_words(dialect: str) -> None:
    with (
        mock_upstream(serve) as mock,
        gateway_for(table({"p": at(mock, dialect)}, limits={"body_bytes": 1_000_000})) as gateway,
    ):
        head, _, _ = request(dialect, "m", stream=False).partition(b"\r\n\r\n")
        large = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
        with connected(gateway.port, b"\r\n".join([*large, b"Content-Length: 2000000", b"", b"{"])) as client:
            answer = b""
            while piece := client.recv(65_536):  # it closes, without waiting for the rest
                answer += piece
        # Google says 400 for it.
        assert answer.startswith(b"HTTP/1.1 400 " if dialect == "gemini" else b"HTTP/1.1 413 ")
        assert b"limits.body_bytes" in answer and b"1000000" in answer
        if dialect in ("chat", "responses", "messages", "mistral"):
            assert b"x-should-retry: false" in answer
        assert not mock.received
        assert "too_large" in gateway.log()


def test_R137_a_long_stream_leaves_no_memory_behind(tmp_path: Path) -> None:
    """Ten streams of 5 MB each, relayed and translated, with usage at their end."""
    statistics = Path("/proc/self/status")
    if not statistics.exists():
        pytest.skip("looks into /proc")
    piece, count = "x" * 20_000, 250

    def long(received: Received) -> Reply:
        is_chat = received.target.endswith("/chat/completions")
        events = chat_events(piece * 2) if is_chat else messages_events(piece * 2)
        deltas = [one for one in events if piece.encode() in one]
        place = events.index(deltas[0])
        return Reply.sse(*events[:place], *[deltas[0] * 10] * (count // 10), *events[place + len(deltas) :])

    config = tmp_path / "ds2api.toml"
    with mock_upstream(long) as mock:
        config.write_text(
            f'listen = "127.0.0.1:0"\nmodels.c = "c/m"\nmodels.n = "n/m"\npool.state_file = "off"\n'
            f'[providers.c]\ndialects = ["chat"]\nbase_url = "{mock.url}"\naccounts = [{{ name = "a", key_env = "K" }}]\n'
            f'[providers.n]\ndialects = ["messages"]\nbase_url = "{mock.url}"\naccounts = [{{ name = "a", key_env = "K" }}]\n'
        )
        with serving("--config", str(config), cwd=tmp_path, extra={"K": upstream_key("a")}) as process:
            _, port = banner(process)

            def resident_kib() -> int:
                lines = Path(f"/proc/{process.popen.pid}/status").read_text().splitlines()
                return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

            def stream(model: str) -> None:
                answer = ask(port, "chat", model, stream=True)
                assert answer.body.count(b"x") >= count * len(piece)

            for model in "cn":
                stream(model)
            before = resident_kib()
            threads = [threading.Thread(target=stream, args=("cn"[number % 2],)) for number in range(10)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert resident_kib() - before < 40 * 1024


def paced(events: list[bytes], between_s: float) -> tuple[Reply, list[threading.Timer]]:
    """The events of a stream so far apart from each other."""
    steps: list[Any] = []
    timers = []
    for number, event in enumerate(events):
        hold = Hold()
        timers.append(threading.Timer((number + 1) * between_s, hold.release))
        steps += [hold, event]
    return Reply.sse(*steps), timers


@pytest.mark.parametrize("upstream", ["chat", "messages"])
def test_R138_the_limit_between_events_is_not_one_on_the_stream(upstream: str) -> None:
    """Alive for three times `event_idle_s`."""
    events = chat_events() if upstream == "chat" else messages_events()
    with mock_upstream() as mock, gateway_for(table({"p": at(mock, upstream, event_idle_s=0.6)})) as gateway:
        reply, timers = paced(events, 0.3)
        mock.then(reply)
        for timer in timers:
            timer.start()
        assert outcome("chat", ask(gateway.port, "chat", stream=True), stream=True) == "right"


@pytest.mark.parametrize("setting", ["event_idle_s", "exchange_total_s"])
def test_R138_a_limit_that_passes_is_named_in_the_stream(setting: str) -> None:
    hold = Hold()
    timeouts = {"event_idle_s": 30, "exchange_total_s": 30} | {setting: 0.3}
    with mock_upstream() as mock, gateway_for(table({"p": provider(mock.url, "chat")}, timeouts=timeouts)) as gateway:
        mock.then(Reply.sse(*chat_events()[:3], hold))
        answer = ask(gateway.port, "chat", stream=True)
        assert outcome("chat", answer, stream=True) == "error"
        assert setting in answer.text


def test_R140_silence_of_minutes_is_no_fault_by_default() -> None:
    assert Deadlines().event_idle_s >= 300
    assert Timeouts().first_byte_idle_s >= 300
    given = table({"p": provider("http://127.0.0.1:1/v1", "chat", event_idle_s=900, first_byte_idle_s=600)})
    one = ds2api.from_mapping(given, {}).providers["p"]
    assert (one.event_idle_s, one.first_byte_idle_s) == (900, 600)


def test_R140_a_providers_pings_are_life_and_the_client_gets_its_own() -> None:
    silence = {"alive_idle_s": 0.2, "commit_after_s": 0.2}
    events = chat_events()
    pings = [b": ping\n\n"] * 6
    with (
        mock_upstream() as mock,
        gateway_for(table({"p": at(mock, "chat", event_idle_s=0.6)}, timeouts=silence)) as gateway,
    ):
        reply, timers = paced([events[0], *pings, *events[1:]], 0.25)
        mock.then(reply)
        for timer in timers:
            timer.start()
        answer = ask(gateway.port, "messages", stream=True)
        assert outcome("messages", answer, stream=True) == "right"
        assert answer.body.count(b"event: ping") + answer.body.count(b": keep-alive") >= 2


def test_R146_geminis_model_and_form_stand_in_its_path_alone() -> None:
    with (
        mock_upstream(is_strict=False) as mock,
        gateway_for(table({"p": at(mock, "gemini")}, {"asked": "p/real"})) as gateway,
    ):
        mock.then(Reply.sse(*gemini_events()))
        body = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], "model": "other", "stream": False}
        path = "/v1beta/models/asked:streamGenerateContent?alt=sse"
        answer = exchange(gateway.port, "POST", path, json.dumps(body).encode(), JSON)
        assert outcome("gemini", answer, stream=True) == "right"
        assert mock.received[0].target == "/v1beta/models/real:streamGenerateContent?alt=sse"


@pytest.mark.parametrize("client", ["chat", "responses", "messages"])
def test_R149_the_providers_request_id_reaches_client_and_log(client: str) -> None:
    name = "request-id" if client == "messages" else "x-request-id"

    def numbered(received: Received) -> Reply:
        reply = serve(received)
        reply.headers = [*reply.headers, (name, "req_theirs")]
        return reply

    with mock_upstream(numbered) as mock, gateway_for(table({"p": at(mock, client)}, log="json")) as gateway:
        answer = ask(gateway.port, client)
        assert answer.header(name) == "req_theirs"
        (line,) = [line for line in gateway.log().splitlines() if "req_theirs" in line]
        assert (answer.header("x-ds2api-request-id") or "?") in line


# --- security ---


@pytest.fixture
def trap() -> Iterator[socket.socket]:
    """A port where nobody may come."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.setblocking(False)
        yield listening
        with pytest.raises(BlockingIOError):
            listening.accept()


@pytest.mark.parametrize("upstream", DIALECTS)
def test_R152_a_request_never_says_where_it_goes(trap: socket.socket, upstream: str) -> None:
    url = f"http://127.0.0.1:{trap.getsockname()[1]}/"
    steering = {
        "api_base": url,
        "base_url": url,
        "api_key": "of-the-caller",
        "extra_headers": {"x": url},
        "endpoint": url,
    }
    body = {**HELLO, **steering, "metadata": {"api_base": url}, "litellm_params": steering}
    headers = {**JSON, "x-target-url": url, "x-forwarded-host": "other", "x-api-base": url}
    with mock_upstream(serve, is_strict=False) as mock, gateway_for(table({"p": at(mock, upstream)})) as gateway:
        for model in ("m", url, f"{url}v1", "http://127.0.0.1:9/m"):
            exchange(gateway.port, "POST", CHAT, json.dumps({**body, "model": model}).encode(), headers)
            path = f"/v1/chat/completions?api_base={url}"
            exchange(gateway.port, "POST", path, json.dumps(HELLO).encode(), headers)
        assert mock.received
        for received in mock.received:
            keys = [
                value for name, value in received.headers if name in ("authorization", "x-api-key", "x-goog-api-key")
            ]
            assert all(upstream_key("a") in value for value in keys) and keys


INWARD = (
    "http://127.0.0.1/", "http://169.254.169.254/latest/", "http://2130706433/", "http://0177.0.0.1/",
    "http://[::ffff:127.0.0.1]/", "http://0.0.0.0/", "file:///etc/passwd", "http://user@127.0.0.1/", "ftp://a/b",
)  # fmt: skip


@pytest.mark.parametrize("url", INWARD)
def test_R158_no_url_of_a_client_is_fetched(trap: socket.socket, url: str) -> None:
    """There is no fetching at all: an upstream that takes bytes alone (Ollama) gets no such request."""
    url = url.replace("127.0.0.1/", f"127.0.0.1:{trap.getsockname()[1]}/")
    content = [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": url}}]
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": content}]}).encode()
    with mock_upstream(serve) as mock, gateway_for(table({"p": at(mock, "ollama")})) as gateway:
        answer = exchange(gateway.port, "POST", CHAT, body, JSON)
        assert answer.status == 400
        assert "messages[0].content[1]" in answer.text
        assert not mock.received


def test_R159_there_is_nothing_to_measure_without_a_key() -> None:
    with (
        mock_upstream(serve) as mock,
        gateway_for(table({"p": provider(mock.url, "chat")}, callers=caller_table("alice-example-com"))) as gateway,
    ):
        ask(gateway.port, "chat", authorization=f"Bearer {caller_key('alice-example-com')}")
        for path in ("/metrics", "/stats", "/status", "/admin/pool", "/debug", "/admin/metrics"):
            answer = exchange(gateway.port, "GET", path)
            assert answer.status in (401, 403, 404)
            assert "alice" not in answer.text


@pytest.mark.parametrize("log", ["text", "json"])
def test_R164_what_is_said_stands_in_no_log(log: str) -> None:
    def said(received: Received) -> Reply:
        if received.number % 3 == 2:
            return chat_error(400, "MARK-66 is no good prompt: MARK-77")
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":"MARK-99"}'}}
        whole = chat_whole("MARK-88")
        whole["choices"][0]["message"]["tool_calls"] = [call]
        return Reply.json(whole)

    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,TUFSSy01NQ=="}}
    content = [{"type": "text", "text": "MARK-77"}, image]
    body = {"model": "m", "messages": [{"role": "user", "content": content}], "user": "MARK-44", "max_tokens": 9}
    given = {"log": log}
    with (
        mock_upstream(said, is_strict=False) as mock,
        gateway_for(table({"p": provider(mock.url, "chat")}, **given)) as gateway,
    ):
        for number in range(6):
            wanted = body | ({"temperature": "MARK-33"} if number == 5 else {})
            exchange(gateway.port, "POST", (CHAT, "/v1/messages")[number == 4], json.dumps(wanted).encode(), JSON)
        exchange(gateway.port, "POST", CHAT, b'{"broken": "MARK-22', JSON)
        assert len(mock.received) >= 3
        text = gateway.log()
        assert text and "MARK" not in text and "TUFSSy01NQ" not in text


# --- user friendliness ---


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ('key = "${MISSING}"', "providers.p.accounts[0].key"),
        ('key = "pre-${MISSING}"', "providers.p.accounts[0].key"),
        ('key = "aaaaaaaaaaaa" }]\nbase_url = "http://${MISSING}/v1"\nx = [{ a = 1', "providers.p.base_url"),
        ('key = "aaaaaaaaaaaa" }]\nheaders = { x-a = "${MISSING}" }\nx = [{ a = 1', "providers.p.headers.x-a"),
    ],
)
def test_R167_a_placeholder_is_never_taken_for_a_value(tmp_path: Path, given: str, place: str) -> None:
    base = "" if "base_url" in given else 'base_url = "http://127.0.0.1:1/v1"\n'
    file = tmp_path / "ds2api.toml"
    file.write_text(f'[providers.p]\ndialects = ["chat"]\n{base}accounts = [{{ name = "a", {given} }}]\n')
    done = run("check", "--config", str(file), cwd=tmp_path)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if "MISSING" in line]
    assert place in line and "key_env" in line
    assert str(file) in done.stderr


def test_R167_missing_and_empty_are_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "ds2api.toml"
    file.write_text(
        '[providers.openai]\naccounts = [{ name = "a", key_env = "NOT_SET" }, { name = "b", key_env = "EMPTY" }]\n'
    )
    done = run("check", "--config", str(file), cwd=tmp_path, EMPTY="")
    assert done.returncode == 1
    assert "NOT_SET is not set" in done.stderr and "EMPTY is set, but empty" in done.stderr


def test_R167_two_dollars_are_the_text_itself() -> None:
    given = {
        "dialects": ["chat"],
        "base_url": "http://127.0.0.1:1/v1",
        "headers": {"x-a": "$${LITERAL} and $NOT_A_VAR"},
    }
    config = ds2api.from_mapping(
        {"providers": {"p": {**given, "accounts": [{"name": "a", "key": upstream_key("a")}]}}}, {}
    )
    assert "LITERAL" in config.providers["p"].endpoints["chat"].headers[0][1]


@every_dialect
@pytest.mark.parametrize("stream", [False, True])
def test_R168_a_misspelt_model_is_a_404_with_the_nearest_name(dialect: str, stream: bool) -> None:
    models = {"gpt-5-mini": "p/m", "other": "p/m"}
    with mock_upstream(serve) as mock, gateway_for(table({"p": at(mock, dialect)}, models)) as gateway:
        answer = ask(gateway.port, dialect, "gpt-5-mni", stream=stream)
        assert (answer.status, outcome(dialect, answer, stream=stream)) == (404, "error")
        assert "gpt-5-mni" in answer.text and ("gpt-5-mini" in answer.text or dialect == "ollama")
        assert not mock.received


KINDS: dict[str, tuple[int, Any]] = {
    "a wrong key": (401, None), "no such model": (404, None), "too large": (413, None), "no account free": (429, 429),
    "too long a prompt": (400, 400), "the provider failed": (502, 500),
}  # fmt: skip


@every_dialect
@pytest.mark.parametrize("kind", KINDS)
def test_R171_every_error_is_in_the_clients_own_words(dialect: str, kind: str) -> None:
    status, upstream = KINDS[kind]
    long = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."

    def refuse(received: Received) -> Reply:
        code = {400: "context_length_exceeded", 429: "rate_limit_exceeded", 500: "server_error"}[upstream]
        return chat_error(upstream, long if upstream == 400 else "no", code=code)

    with mock_upstream(refuse) as mock:
        more = {
            "callers": caller_table("alice"),
            "limits": {"body_bytes": 500},
            "retries": {"max": 0, "patience_s": 0.001},
        }
        with gateway_for({**table({"p": provider(mock.url, "chat")}), **more}) as gateway:
            key = "wrong" if kind == "a wrong key" else caller_key("alice")
            if kind == "too large":
                body = b'{"model":"m","x":"' + b"x" * 600 + b'"}'
                path = request(dialect, "m", stream=False).split(b" ")[1].decode()
                answer = exchange(gateway.port, "POST", path, body, {**JSON, "authorization": f"Bearer {key}"})
            else:
                model = "nobody-has-it" if kind == "no such model" else "m"
                answer = ask(gateway.port, dialect, model, authorization=f"Bearer {key}")
        assert outcome(dialect, answer) == "error"
        assert (answer.header("x-ds2api-request-id") or "").startswith("req_")
        if dialect == "gemini" and kind in ("a wrong key", "too large"):
            status = 400  # as Google says it
        if kind == "the provider failed":
            assert answer.status in (500, 502)
        else:
            assert answer.status == status
        if kind == "too long a prompt":
            assert "8192" in answer.text or "too long" in answer.text


@pytest.mark.parametrize("status", [403, 404])
def test_R174_a_model_that_one_account_may_not_use_is_asked_of_another(status: int) -> None:
    def judge(received: Received) -> Reply:
        if received.key == upstream_key("a"):
            return chat_error(
                status, "The model `m` does not exist or you do not have access to it.", code="model_not_found"
            )
        return serve(received)

    with mock_upstream(judge) as mock, gateway_for(table({"p": provider(mock.url, "chat", "a", "b")})) as gateway:
        for _ in range(3):
            assert outcome("chat", ask(gateway.port, "chat")) == "right"
    with mock_upstream(judge) as mock, gateway_for(table({"p": provider(mock.url, "chat", "a")})) as gateway:
        ask(gateway.port, "chat")
        answer = ask(gateway.port, "chat")
        assert (answer.status, answer.header("x-should-retry")) == (404, "false")
        assert "'m'" in answer.text and "p" in answer.json["error"]["message"] and "account" in answer.text


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://127.0.0.1:{port}/v1", "tls"),
        ("http://127.0.0.1:1/v1", "connect"),
        ("http://name.invalid/v1", "dns"),
        ("http://127.0.0.1:{port}/wrong/v2", "404"),
    ],
)
def test_R176_check_tells_which_step_of_a_wrong_url_failed(tmp_path: Path, url: str, says: str) -> None:
    class Elsewhere(Mock):
        def reply_to(self, received: Received) -> Reply:
            return Reply.json({}, 404) if received.target.startswith("/wrong") else super().reply_to(received)

    from tests.end_to_end.harness import Thread

    thread = Thread()
    try:
        mock = thread.enter(Elsewhere())
        full = url.format(port=mock.url.split(":")[2].removesuffix("/v1"))
        file = tmp_path / "ds2api.toml"
        file.write_text(
            f'[providers.p]\ndialects = ["chat"]\nbase_url = "{full}"\naccounts = [{{ name = "a", key_env = "K" }}]\n'
            "[timeouts]\nconnect_total_s = 5\n"
        )
        done = run("check", "--live", "--config", str(file), cwd=tmp_path, K=upstream_key("a"))
    finally:
        thread.close()
    assert done.returncode == 1
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("p/a")]
    assert full in row and says in row.lower()
    assert_no_key(done.stdout + done.stderr, "the command's output")
