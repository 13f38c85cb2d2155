"""Starts three engines and a gateway before them, once for all tests, and keeps the outcome in `docs/fidelity/`."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

import pytest
from tests.end_to_end.harness import Running, gateway_for
from tests.engine.llamacpp import CALL_GRAMMAR, MODEL, Engine, running, written_model
from tests.layers import LayerRecord

ENGINE_PACKAGES = ("xllamacpp", "gguf", "mistral-common")
SDKS = ("openai", "anthropic", "google-genai", "mistralai", "ollama")
VERSIONS = pytest.StashKey[dict[str, str]]()


@dataclass(frozen=True)
class House:
    """The engines, and the gateway before them. A model's name says what stands behind it (`table`)."""

    plain: Engine
    calling: Engine
    writing: Engine
    gateway: Running

    @property
    def url(self) -> str:
        return self.gateway.url


def pytest_configure(config: pytest.Config) -> None:
    versions = {"python": platform.python_version()}
    versions |= {name: version(name) for name in (*ENGINE_PACKAGES, *SDKS)}
    config.pluginmanager.register(LayerRecord("engine", versions))
    config.stash[VERSIONS] = versions


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.section("a real engine behind the gateway")
    terminalreporter.write_line(f"{'date':<16} {datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    for name, number in config.stash[VERSIONS].items():
        terminalreporter.write_line(f"{name:<16} {number}")


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("engine")
    random, eager = written_model(folder / "random.gguf"), written_model(folder / "eager.gguf", "calls")
    with ExitStack() as stack:
        plain = stack.enter_context(running(random, folder / "plain.log", "--embeddings"))
        calling = stack.enter_context(running(eager, folder / "calling.log"))
        writing = stack.enter_context(running(random, folder / "writing.log", "--grammar", CALL_GRAMMAR))
        gateway = stack.enter_context(gateway_for(table(plain, calling, writing)))
        yield House(plain, calling, writing, gateway)
        assert gateway.leases() == 0


def table(plain: Engine, calling: Engine, writing: Engine) -> dict[str, object]:
    """`open-mixtral-8x22b` is the preset with all its protocols; "chat", "chat-calling", "chat-writing" and so on say
    over which protocol, and which engine, they are reached. ("llamacpp" in `gateway/presets.py`.)"""
    account = {"accounts": [{"name": "here", "key": "none-is-needed"}]}
    providers: dict[str, object] = {"llamacpp": {"base_url": plain.url, **account}}
    models: dict[str, object] = {MODEL: f"llamacpp/{MODEL}"}
    for dialect in ("chat", "messages", "responses"):
        for suffix, engine in (("", plain), ("-calling", calling), ("-writing", writing)):
            provider = {"dialects": [dialect], "base_url": engine.url + "/v1", "flavour": "llamacpp", **account}
            providers[f"{dialect}{suffix}"] = provider
            target = {"targets": [f"{dialect}{suffix}/{MODEL}"]}
            models[f"{dialect}{suffix}"] = {**target, "tools": "prompted"} if engine is writing else target
    return {"providers": providers, "models": models}
