"""A Node SDK in a long-lived process (`worker.mjs`): a task goes in as a line of JSON, an answer comes out as one."""

from __future__ import annotations

import json
import selectors
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["DOORS", "Answer", "Program"]

HERE = Path(__file__).parent
# A bound for every answer, wide of the slowest: one that does not come in this time never comes.
WAIT_S = 30.0

# Whom `worker.mjs` plays → which dialect that client speaks.
DOORS = {
    "openai-chat": "chat",
    "openai-responses": "responses",
    "anthropic": "messages",
    "google:v1": "gemini",
    "google:v1beta": "gemini",
    "mistral": "mistral",
    "ollama": "ollama",
    "vercel:openai-chat": "chat",
    "vercel:openai-responses": "responses",
    "vercel:anthropic": "messages",
    "vercel:google": "gemini",
    "vercel:mistral": "mistral",
    "vercel:compatible": "chat",
    "vercel:ollama": "ollama",
}


@dataclass(frozen=True)
class Answer:
    """What the SDK's user sees of one turn. `calls` are (name, arguments); `usage` is (input, output)."""

    text: str
    thoughts: str
    calls: list[tuple[str, Any]]
    finish: str | None
    usage: tuple[int | None, int | None] | None
    parsed: Any
    refusal: str | None
    error: dict[str, Any] | None

    @classmethod
    def read(cls, table: dict[str, Any]) -> Answer:
        calls = [(call["name"], call["arguments"]) for call in table["calls"]]
        usage = tuple(table["usage"]) if table["usage"] else None
        rest = {name: table[name] for name in ("text", "thoughts", "finish", "parsed", "error")}
        return cls(calls=calls, usage=usage, refusal=table.get("refusal"), **rest)


class Program:
    """The process of one door. Use it from one thread."""

    def __init__(self, door: str) -> None:
        self._process = subprocess.Popen(
            ["node", "worker.mjs", door], cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._pending = b""
        self._count = 0
        assert self._line() == {"ready": True}

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            assert self._process.stdout is not None
            self._process.stdout.close()

    def ask(self, url: str, model: str, text: str = "Hi", **more: Any) -> list[Answer]:
        """Each turn's answer; more than one where `outputs` answers calls or `then` goes on asking."""
        task = {"do": "ask", "url": url, "model": model, "text": text, "stream": False, **more}
        return [Answer.read(one) for one in self.perform(task)]

    def perform(self, task: dict[str, Any]) -> Any:
        self._count += 1
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({**task, "id": self._count}).encode() + b"\n")
        self._process.stdin.flush()
        line = self._line()
        assert "crash" not in line, line["crash"]
        assert line["id"] == self._count
        return line["answer"]

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                assert selector.select(WAIT_S), "the Node program does not answer"
                data = self._process.stdout.read1()  # type: ignore[attr-defined]
                assert data, "the Node program ended"
                self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        value: dict[str, Any] = json.loads(line)
        return value
