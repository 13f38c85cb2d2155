"""`ds2api audit`: where each account's key can go, and the proof.

The claim is read from the configuration: a key is shown by one function (`Endpoint.credential`) to one origin. The
proof runs the whole gateway of that configuration, in which every origin is a recorder on a socket of this process and
every key a mark made for the run, so that no real key is used and nothing leaves the machine. Each path that any
dialect has is asked of each provider, and the recorders answer with what tempts a client to ask elsewhere: redirects,
refusals, failures, nothing. Then each mark must have been seen at its own origin only, in its own field only, and
nowhere else: not in an answer, not in the log. Python's own audit hook tells whether anything else was looked up or
connected to.
"""

from __future__ import annotations

import io
import secrets
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ds2api import jsons
from ds2api.config import Config
from ds2api.dialects.registry import DIALECTS
from ds2api.gateway.providers import Endpoint, Provider
from ds2api.gateway.secret import Secret
from ds2api.service import Gateway
from ds2api.wire.errors import PeerError
from ds2api.wire.server import Incoming, Server
from ds2api.wire.settings import Limits, Timeouts
from ds2api.wire.upstream import Client, Origin

__all__ = ["Finding", "audit", "report"]

# A body that every operation of every dialect finds its fields in.
_SAID: dict[str, Any] = {
    "messages": [{"role": "user", "content": "x"}], "contents": [{"role": "user", "parts": [{"text": "x"}]}],
    "content": {"parts": [{"text": "x"}]}, "input": "x", "prompt": "x", "max_tokens": 9,
}  # fmt: skip
_TRAP = "http://trap.invalid/"
_HOOKED = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "subprocess.Popen", "os.system")
# An account that no request met is asked for again as often.
_ROUNDS = 8
# Whatever the recorders answer.
_NOBODY_IS_OUT: dict[str, Any] = {
    "circuit_failures": 1_000_000, "proofs": 1_000_000, "cool_first_s": 0.001, "cool_most_s": 0.001,
    "announced_least_s": 0.001, "announced_most_s": 0.001, "refused_key_s": 0.001, "no_model_s": 0.001,
}  # fmt: skip
_SECONDS = Timeouts(first_byte_idle_s=5, connect_total_s=5)


@dataclass
class Finding:
    """What the run saw. `seen` counts, for each account, the requests with its mark; `problems` is empty if the claim
    holds."""

    requests: int = 0
    paths: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def problem(self, text: str) -> None:
        if text not in self.problems:
            self.problems.append(text)


class _Watch:
    """Where this process connects to and what it looks up, from now on. A hook stays for the life of the process, so
    there is one."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.is_on = False
        sys.addaudithook(self._hear)

    def _hear(self, event: str, details: tuple[Any, ...]) -> None:
        if self.is_on and event in _HOOKED:
            where = details[1] if event == "socket.connect" else details[0]
            if not (isinstance(where, str) and where.startswith(tempfile.gettempdir())):
                self.seen.append(f"{event} {where}")


_watch: list[_Watch] = []


@dataclass
class _Recorder:
    """Stands for one origin."""

    where: str
    finding: Finding
    owners: dict[str, tuple[str, Endpoint]]  # mark → account and the endpoint that may carry it
    fields: frozenset[str]  # in which it may
    count: int = 0

    async def answer(self, incoming: Incoming) -> None:
        body = (await incoming.read_body()).decode("latin-1")
        for mark, (account, endpoint) in self.owners.items():
            places = [name for name, value in incoming.headers.items_list if mark in value]
            places += [place for place, text in (("target", incoming.target), ("body", body)) if mark in text]
            if not places:
                continue
            self.finding.seen[account] += 1
            if endpoint.origin.where != self.where:
                self.finding.problem(f"the key of {account} went to {self.where}")
            for place in set(places) - self.fields:
                self.finding.problem(f"the key of {account} stood in `{place}` of a request to {self.where}")
        self.count += 1
        tempting: tuple[tuple[int, list[tuple[str, str]], bytes], ...] = (
            (307, [("location", _TRAP)], b""),
            (500, [], b'{"error":{"message":"no","type":"server_error"}}'),
            (429, [("retry-after", "0")], b"{}"),
            (302, [("location", _TRAP), ("set-cookie", "a=b")], b""),
            (200, [], b"{}"),
        )
        status, headers, answer = tempting[self.count % len(tempting)]
        incoming.respond(status, [("content-type", "application/json"), *headers], answer)


async def audit(config: Config) -> Finding:
    """Run the proof. Takes some seconds; uses no key, no network."""
    finding = Finding()
    _check_fixed_headers(config, finding)
    if not _watch:
        _watch.append(_Watch())
    watch = _watch[0]
    watch.seen.clear()
    with tempfile.TemporaryDirectory(prefix="ds2api-audit-") as folder:
        recorders: dict[Origin, tuple[_Recorder, str]] = {}
        owners: dict[str, tuple[str, Endpoint]] = {}
        providers = {name: _marked(one, folder, owners, recorders, finding) for name, one in config.providers.items()}
        log = io.StringIO()
        servers = []
        watch.is_on = True
        try:
            for recorder, path in recorders.values():
                server = Server(recorder.answer, _refuse, limits=Limits(), timeouts=Timeouts())
                await server.listen(f"unix:{path}")
                servers.append(server)
            stood_in = replace(
                config,
                listen=(f"unix:{folder}/gateway",),
                providers=providers,
                routes=(),
                callers=(),
                admin_hash=None,
                listen_tls=None,
                state_path=None,
                log="json",
                timeouts=_SECONDS,
                # Nobody is out for long, whatever the recorders answer.
                policy=replace(
                    config.policy, circuit_failures=1_000_000, proofs=1_000_000, cool_first_s=0.001, cool_most_s=0.001
                ),
                retries=replace(config.retries, max=1, pause_first_s=0.001, patience_s=0.02),
            )
            async with Gateway(stood_in, log_stream=log, environment={}, grace_s=0.1) as gateway:
                await _ask_everything(f"{folder}/gateway", gateway, finding, owners)
        finally:
            watch.is_on = False
            for server in servers:
                await server.drain(0)
    if any(mark in log.getvalue() for mark in owners):
        finding.problem("a key stood in the log")
    for one in watch.seen:
        finding.problem(f"something else was done: {one}")
    return finding


def _check_fixed_headers(config: Config, finding: Finding) -> None:
    """A key that the operator has written into a provider's fixed headers goes wherever that provider is."""
    keys = [(account, secret) for one in config.providers.values() for account, secret in one.secrets.items()]
    for name, provider in config.providers.items():
        for endpoint in provider.endpoints.values():
            for field_name, value in endpoint.headers:
                for account, secret in keys:
                    if secret is not None and Secret(value.removeprefix("Bearer ")) == secret:
                        finding.problem(f"providers.{name}.headers.{field_name} is the key of {account}")


def _marked(
    provider: Provider,
    folder: str,
    owners: dict[str, tuple[str, Endpoint]],
    recorders: dict[Origin, tuple[_Recorder, str]],
    finding: Finding,
) -> Provider:
    """`provider` at recorders, with marks for keys."""
    endpoints: dict[str, Endpoint] = {}
    for dialect, endpoint in provider.endpoints.items():
        origin = endpoint.origin
        if origin not in recorders:
            fields = frozenset(name for name, _ in endpoint.credential(Secret("x")))
            recorders[origin] = (
                _Recorder(origin.where, finding, owners, fields), str(Path(folder) / str(len(recorders))),
            )  # fmt: skip
        recorder, path = recorders[origin]
        recorder.fields |= {name for name, _ in endpoint.credential(Secret("x"))}
        endpoints[dialect] = replace(endpoint, origin=origin._replace(scheme="http", unix_path=path, tls=None))
    marks: dict[str, Secret | None] = {}
    for account, secret in provider.secrets.items():
        mark = f"mark-{secrets.token_hex(16)}"
        marks[account] = None if secret is None else Secret(mark)
        owners[mark] = (account, next(iter(provider.endpoints.values())))
    return replace(provider, endpoints=endpoints, secrets=marks)


async def _ask_everything(
    path: str, gateway: Gateway, finding: Finding, owners: dict[str, tuple[str, Endpoint]]
) -> None:
    client = Client(limits=Limits(), timeouts=_SECONDS)
    origin = Origin("http", "localhost", 80, path)

    async def ask(method: str, target: str, body: dict[str, Any] | None) -> None:
        finding.requests += 1
        fields = [("content-type", "application/json")] if body is not None else []
        try:
            answer = await client.send(origin, method, target, fields, b"" if body is None else jsons.dump(body))
            said = str(answer.headers.items_list) + (await answer.read()).decode("latin-1")
            answer.close()
        except PeerError as error:
            finding.problem(f"{method} {target}: {error.message}")
            return
        for mark, (account, _) in owners.items():
            if mark in said:
                finding.problem(f"the key of {account} stood in the answer to {method} {target}")

    asked = list(_requests(gateway))
    finding.paths = len({(method, target.partition("?")[0]) for method, target, _ in asked})
    try:
        for method, target, body in asked:
            await ask(method, target, body)
        for _ in range(_ROUNDS):
            for provider in gateway.config.providers.values():
                for account, secret in provider.secrets.items():
                    if secret is not None and not finding.seen[account]:
                        await ask("POST", f"/providers/{provider.name}/files", {})
                        await ask("POST", "/v1/chat/completions", {**_SAID, "model": f"{provider.name}/m"})
    finally:
        client.close()


def _requests(gateway: Gateway) -> Iterator[tuple[str, str, dict[str, Any] | None]]:
    for provider in gateway.config.providers.values():
        model = f"{provider.name}/m"
        for dialect in DIALECTS.values():
            for route in dialect.routes:
                target = route.path.replace("{model}", model).replace("{id}", "resp_0")
                if route.method != "POST":
                    yield route.method, target, None
                    continue
                for stream in (False, True):
                    yield "POST", target, {**_SAID, "model": model, "stream": stream}
        for method in ("GET", "POST", "DELETE"):
            yield method, f"/providers/{quote(provider.name)}/files?key=x", {} if method == "POST" else None


def _refuse(method: str, target: str, error: PeerError) -> tuple[int, list[tuple[str, str]], bytes]:
    return error.status_hint, [], error.message.encode()


def report(config: Config, finding: Finding) -> str:
    """The claim, an account a line, and what the proof said of it."""
    lines = [f"{config.source}: {sum(len(one.secrets) for one in config.providers.values())} accounts", ""]
    for provider in config.providers.values():
        for endpoint in provider.endpoints.values():
            fields = ", ".join(name for name, _ in endpoint.credential(Secret("x"))) or "no field: it asks no key"
            tls = "TLS, verified" if endpoint.origin.scheme == "https" else "plain HTTP"
            lines.append(f"{provider.name} ({endpoint.dialect}): {endpoint.url}, in {fields}; {tls}")
        for account, secret in provider.secrets.items():
            count = finding.seen[account]
            shown = "has no key" if secret is None else f"{secret.shown:<14} {count or 'no'} requests"
            lines.append(f"  {account:<24} {shown}")
    lines += ["", f"{finding.requests} requests on {finding.paths} paths, each provider a recorder, each key a mark:"]
    if finding.problems:
        return "\n".join([*lines, *(f"  WRONG: {problem}" for problem in finding.problems)])
    return "\n".join([
        *lines,
        "  every key was shown to its own origin only, and in its own field only;",
        "  no redirect was followed, no other address looked up or connected to;",
        "  no key stood in an answer or in the log.",
    ])  # fmt: skip
