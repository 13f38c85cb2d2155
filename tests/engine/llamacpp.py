"""A real engine for the tests: llama.cpp with a tiny Mixtral, in a child process on a free loopback port.

Asked directly (`ask`) it says what is true: the text, and how many tokens it counted. What a client sees through the
gateway is held against that. Three of them serve the layer, since two things need a model or a grammar of their own:
`plain` says noise, `calling` calls its tool, `writing` writes a call as text whatever it is asked.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["CALL_GRAMMAR", "CITY", "MODEL", "Engine", "running", "written_model"]

HERE = Path(__file__).parent
MODEL = "open-mixtral-8x22b"
# Closed, so that a grammar made of it ends even if the model talks at random.
CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
    "required": ["city"],
    "additionalProperties": False,
}
CALL_GRAMMAR = (
    r'root ::= "[TOOL_CALLS] [{\"name\": \"get_weather\", \"arguments\": {\"city\": \"" ("Paris" | "Rome") "\"}}]"'
)


@dataclass(frozen=True)
class Engine:
    url: str

    def read(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            text: str = answer.read().decode()
            return text

    def get(self, path: str) -> Any:
        return json.loads(self.read(path))

    def post(self, path: str, **body: Any) -> Any:
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def ask(self, text: str, **more: Any) -> tuple[str, int, int]:
        """What the engine says to `text` at temperature 0, and the tokens that it read and wrote."""
        messages = [{"role": "user", "content": text}]
        answer = self.post("/v1/chat/completions", **{"messages": messages, "temperature": 0, **more})
        usage = answer["usage"]
        return answer["choices"][0]["message"]["content"], usage["prompt_tokens"], usage["completion_tokens"]

    def steps(self) -> int:
        """How often it has run its model so far: once a token at least."""
        lines = self.read("/metrics").splitlines()
        return next(int(float(line.split()[1])) for line in lines if line.startswith("llamacpp:n_decode_total "))

    def busy(self) -> int:
        """How many of its slots are at work."""
        return sum(slot["is_processing"] for slot in self.get("/slots"))


def written_model(path: Path, *options: str) -> Path:
    subprocess.run([sys.executable, str(HERE / "mixtral.py"), str(path), *options], check=True, timeout=120)
    return path


@contextmanager
def running(model: Path, log: Path, *options: str) -> Iterator[Engine]:
    command = [sys.executable, str(HERE / "serve.py"), str(model), *options]
    with (
        log.open("wb") as log_file,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log_file) as child,
    ):
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            line = child.stdout.readline()
            assert line, f"the engine did not start:\n{log.read_text(errors='replace')[-2000:]}"
            yield Engine(json.loads(line)["url"])
        finally:
            child.stdin.close()  # its sign to end
            child.wait(timeout=30)
