"""The coding agents: how each is started without asking anybody and without leaving the machine, and which of its own
tools the scripted model calls to mend a file.

An agent gets an empty home, the gateway's URL and a made-up key. Telemetry, update checks and model lists from afar are
turned off by the settings that its documents name; what would leave all the same meets a `Trap` for a proxy (and, run
by `tools/dev.py`, a network of its own where only loopback is).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["AGENTS", "Agent", "Ended", "run"]

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
# The whole of an agent's run; each takes some seconds.
TOTAL_S = 40
BEFORE, AFTER = "Hello, wrold\n", "Hello, world\n"
PROMPT = "Mend the spelling in greeting.txt."

# What the model calls: the tool and its arguments, of the file's path.
Step = tuple[str, Callable[[Path], dict[str, Any]]]

PATCH = """*** Begin Patch
*** Update File: greeting.txt
@@
-Hello, wrold
+Hello, world
*** End Patch
"""


@dataclass(frozen=True)
class Agent:
    """`files` are written into the home before; `steps` are the model's calls, one a turn. `tolerated` is where it
    tries to go though nothing may leave: it has no setting against it, and goes on without."""

    name: str
    model: str  # as the agent asks for it: by such a name it knows what its model can do
    dialect: str
    command: Callable[[Path, str, str], list[str]]  # of the workplace, the gateway's URL, the model
    environment: Callable[[str], dict[str, str]]  # of the gateway's URL
    steps: Sequence[Step]
    files: Callable[[str, str], dict[str, Any]] = lambda _url, _model: {}
    tolerated: Sequence[str] = ()


@dataclass(frozen=True)
class Ended:
    status: int | None  # None: it took too long
    output: str


def _platform(package: str) -> Path:
    """The folder of a package's build for this machine; npm installs the one that fits (and its variants)."""
    return sorted(MODULES.glob(f"{package}-{sys.platform}-*"))[0]


def _codex(workplace: Path, url: str, model: str) -> list[str]:
    settings = {
        "model_provider": "ds2api", "model_providers.ds2api.name": "ds2api",
        "model_providers.ds2api.base_url": f"{url}/v1", "model_providers.ds2api.wire_api": "responses",
        "model_providers.ds2api.env_key": "DS2API_KEY", "check_for_update_on_startup": False,
        "analytics.enabled": False, "model_providers.ds2api.request_max_retries": 0,
        "model_providers.ds2api.stream_max_retries": 0,
    }  # fmt: skip
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={json.dumps(value)}")]
    program = [
        "node",
        str(MODULES / "@openai/codex/bin/codex.js"),
        "exec",
        "--skip-git-repo-check",
        "--disable",
        "plugins",
    ]
    return [*program, "--sandbox", "danger-full-access", "-m", model, *options, "-C", str(workplace), PROMPT]


def _claude(workplace: Path, url: str, model: str) -> list[str]:
    program = str(_platform("@anthropic-ai/claude-code") / "claude")
    return [program, "-p", PROMPT, "--model", model, "--permission-mode", "acceptEdits", "--allowedTools", "Read,Edit"]


def _gemini(workplace: Path, url: str, model: str) -> list[str]:
    program = ["node", str(MODULES / "@google/gemini-cli/bundle/gemini.js")]
    return [*program, "-p", PROMPT, "-m", model, "--approval-mode", "yolo", "--skip-trust"]


def _opencode(workplace: Path, url: str, model: str) -> list[str]:
    program = str(_platform("opencode") / "bin" / "opencode")
    return [program, "run", "--pure", "-m", f"ds2api/{model}", PROMPT]


def _opencode_files(package: str, suffix: str) -> Callable[[str, str], dict[str, Any]]:
    def files(url: str, model: str) -> dict[str, Any]:
        options = {"baseURL": url + suffix, "apiKey": "x"}
        provider = {"npm": package, "name": "ds2api", "options": options, "models": {model: {"name": model}}}
        settings = {"provider": {"ds2api": provider}, "autoupdate": False, "share": "disabled"}
        return {".config/opencode/opencode.json": settings}

    return files


def _old_new(old: str, new: str) -> dict[str, str]:
    return {old: BEFORE.strip(), new: AFTER.strip()}


_OPENCODE_STEPS: Sequence[Step] = (
    ("read", lambda path: {"filePath": str(path)}),
    ("edit", lambda path: {"filePath": str(path), **_old_new("oldString", "newString")}),
)
_OPENCODE_SETTINGS = {
    "OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_SHARE": "1",
}  # fmt: skip

_OPENCODE_TOLERATED = ("registry.npmjs.org:443",)  # for the types of its plugins, into the home

AGENTS = [
    Agent(
        "codex", "gpt-5.5", "responses", _codex,
        lambda _: {"DS2API_KEY": "x"},
        (("exec_command", lambda _: {"cmd": "cat greeting.txt"}), ("apply_patch", lambda _: {"input": PATCH})),
    ),
    Agent(
        "claude-code", "claude-sonnet-4-5", "messages", _claude,
        lambda url: {
            "ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "x", "DISABLE_TELEMETRY": "1", "DISABLE_AUTOUPDATER": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_ERROR_REPORTING": "1",
            "ANTHROPIC_SMALL_FAST_MODEL": "claude-sonnet-4-5",
        },
        (
            ("Read", lambda path: {"file_path": str(path)}),
            ("Edit", lambda path: {"file_path": str(path), **_old_new("old_string", "new_string")}),
        ),
    ),
    Agent(
        "gemini-cli", "gemini-2.5-pro", "gemini", _gemini,
        lambda url: {
            "GOOGLE_GEMINI_BASE_URL": url, "GEMINI_API_KEY": "x", "GEMINI_TELEMETRY_ENABLED": "false",
        },
        (
            ("read_file", lambda path: {"file_path": str(path)}),
            ("replace", lambda path: {"file_path": str(path), "instruction": "Mend the spelling.",
                                      **_old_new("old_string", "new_string")}),
        ),
        lambda _url, _model: {".gemini/settings.json": {
            "general": {"enableAutoUpdate": False, "disableAutoUpdate": True, "disableUpdateNag": True},
            "privacy": {"usageStatisticsEnabled": False}, "telemetry": {"enabled": False},
            "security": {"auth": {"selectedType": "gemini-api-key"}},
        }},
    ),
    Agent(
        "opencode with chat", "mended", "chat", _opencode, lambda _: _OPENCODE_SETTINGS, _OPENCODE_STEPS,
        _opencode_files("@ai-sdk/openai-compatible", "/v1"), _OPENCODE_TOLERATED,
    ),
    Agent(
        "opencode with messages", "mended", "messages", _opencode, lambda _: _OPENCODE_SETTINGS,
        _OPENCODE_STEPS, _opencode_files("@ai-sdk/anthropic", "/v1"), _OPENCODE_TOLERATED,
    ),
]  # fmt: skip


def run(agent: Agent, folder: Path, url: str, proxy: str) -> tuple[Ended, str]:
    """How `agent` ended, and what `greeting.txt` says then. It is given `TOTAL_S`."""
    home, workplace = folder / "home", folder / "work"
    workplace.mkdir()
    file = workplace / "greeting.txt"
    file.write_text(BEFORE)
    home.mkdir()
    for name, content in agent.files(url, agent.model).items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(json.dumps(content))
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"), proxy)
    quiet = {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost", "CI": "1", "NO_COLOR": "1",
             "DO_NOT_TRACK": "1", "TERM": "dumb", "LANG": "C.UTF-8"}  # fmt: skip
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), **proxies, **quiet, **agent.environment(url)}
    process = subprocess.Popen(
        agent.command(workplace, url, agent.model), cwd=workplace, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=TOTAL_S)
        status: int | None = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # the session that was started for it, and nothing else
        output, _ = process.communicate()
        status = None
    return Ended(status, output.decode("utf-8", "replace")), file.read_text()
