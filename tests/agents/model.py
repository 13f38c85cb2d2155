"""The model that a coding agent talks to: it looks at the tools that the agent offers in its request, calls the
scripted one, and after the last result says that it is done. It reads what reached the *provider*, in whichever of the
six protocols, so what a translation lost of tools or results is seen here."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.agents.agents import Step
from tests.end_to_end.mock import Received, Reply
from tests.node.provider import Said, answer

__all__ = ["DONE", "ScriptedModel", "offered", "results"]

DONE = "The spelling is mended."


def offered(body: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The tools of a request, by name."""
    tools: Iterable[dict[str, Any]] = body.get("tools") or ()
    flat = (one for tool in tools for one in tool.get("functionDeclarations") or [tool.get("function") or tool])
    return {one["name"]: one for one in flat if "name" in one}


def results(body: dict[str, Any]) -> int:
    """How many results of tools a request holds."""
    turns = body.get("messages") or body.get("contents") or body.get("input") or ()
    count = 0
    for turn in turns if isinstance(turns, list) else ():
        count += turn.get("role") == "tool" or str(turn.get("type", "")).endswith("_call_output")
        parts = turn.get("parts") or turn.get("content") or ()
        for part in parts if isinstance(parts, list) else ():
            count += part.get("type") == "tool_result" or "functionResponse" in part
    return count


class ScriptedModel:
    """A script for `Provider`. `calls` are the tools that it called, `problems` what kept it from that."""

    def __init__(self, dialect: str, steps: Iterable[Step], file: Path) -> None:
        self._dialect = dialect
        self._steps = list(steps)
        self._file = file
        self._lock = threading.Lock()
        self.calls: list[str] = []
        self.problems: list[str] = []

    def __call__(self, received: Received) -> Reply:
        tools = offered(received.json)
        count = results(received.json)
        name, arguments = self._steps[count] if count < len(self._steps) else ("", lambda _: {})
        if not set(tools) & {step[0] for step in self._steps}:
            return answer(self._dialect, received, Said("Spelling"))  # a title, a summary: no work for the tools
        if not name:
            return answer(self._dialect, received, Said(DONE))
        if name not in tools:
            self.problems.append(f"{name} is not offered: {sorted(tools)}")
            return answer(self._dialect, received, Said(DONE))
        with self._lock:
            self.calls.append(name)
        given: Any = arguments(self._file)
        if tools[name].get("type") == "custom":
            (given,) = given.values()
        return answer(self._dialect, received, Said(f"Now {name}.", [(name, given)], turn=count))
