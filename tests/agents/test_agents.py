"""Real coding agents mend a file through the gateway, over a provider of their own protocol and over others'. The model
is a script (`model.py`) that calls the agent's own tools; what counts is the file, the exit status, and that the gateway
lost nothing but what `losses.json` lists.

`DS2API_WRITE_LOSSES=1` writes that list anew; read the difference before it is kept.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from tests.agents.agents import AFTER, AGENTS, HERE, Agent, run
from tests.agents.model import DONE, ScriptedModel
from tests.agents.trap import Trap
from tests.end_to_end.harness import gateway_for
from tests.node.provider import DIALECTS, MODELS, providers

LOSSES = HERE / "losses.json"
PAIRS = [pytest.param(agent, upstream, id=f"{agent.name} over {upstream}")
         for agent in AGENTS for upstream in DIALECTS]  # fmt: skip


@pytest.mark.parametrize(("agent", "upstream"), PAIRS)
def test_an_agent_mends_a_file(agent: Agent, upstream: str, trap: Trap, tmp_path: Path) -> None:
    with providers() as (mocks, table):
        table |= {"log": "json", "models": {agent.model: f"{upstream}/{MODELS[upstream]}"}}
        with gateway_for(table) as gateway:
            mock = mocks[upstream]
            mock.be_relayed_to(agent.dialect == upstream)
            mock.script = model = ScriptedModel(upstream, agent.steps, tmp_path / "work" / "greeting.txt")
            ended, text = run(agent, tmp_path, gateway.url, trap.url)
            log: list[dict[str, Any]] = [json.loads(line) for line in gateway.log().splitlines()]
    assert model.problems == []
    assert model.calls == [name for name, _ in agent.steps], ended.output
    assert (text, ended.status) == (AFTER, 0), ended.output
    assert DONE in ended.output
    assert [line for line in log if line.get("ending") not in ("served", None)] == []
    assert {line["upstream_dialect"] for line in log if line.get("lane")} == {upstream}
    assert set(trap.wanted) <= set(agent.tolerated)
    check_losses(f"{agent.name} over {upstream}", log)


def check_losses(case: str, log: list[dict[str, Any]]) -> None:
    found = sorted({re.sub(r"\[\d+\]", "[]", loss) for line in log for loss in line.get("losses", ())})
    known: dict[str, list[str]] = json.loads(LOSSES.read_text(encoding="utf-8")) if LOSSES.exists() else {}
    if os.environ.get("DS2API_WRITE_LOSSES"):
        known[case] = found
        LOSSES.write_text(json.dumps(known, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
    assert found == known[case]
