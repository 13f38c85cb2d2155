"""What each client loses on each upstream, as a page for readers: `docs/fidelity.md`, made from what tests wrote down.

Sources: the golden cases of `tests/cases`, the counts of recordings in `tests/end_to_end/losses.json`, and the last
runs of the layers that are not run every time (`docs/fidelity/*.json`), each of which may be missing. Nothing is
measured here, and nothing here says more than a test has shown. `python3 tools/dev.py docs` writes the page.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

__all__ = ["page"]

_ROOT = Path(__file__).resolve().parent.parent
_CASES = _ROOT / "tests" / "cases"
_RECORDINGS = _ROOT / "tests" / "end_to_end" / "losses.json"
_RUNS = _ROOT / "docs" / "fidelity"
PAGE = _ROOT / "docs" / "fidelity.md"

_NAMES = {
    "chat": "Chat Completions",
    "responses": "Responses",
    "messages": "Messages",
    "gemini": "Gemini",
    "ollama": "Ollama",
    "mistral": "Mistral",
}
_MODEL = re.compile(r"/models/([^:]+):")
_LAYERS = {"engine": "A real engine", "node": "Node SDKs and the Vercel AI SDK", "agents": "Coding agents"}
_HEAD = """\
# Fidelity: what arrives, and what is said when it does not

ds2api lets a client of any of six protocols use a provider of any of the six. Where the two protocols say the same
thing, it arrives. Where the provider's protocol cannot say it, the client is told: nothing is left out in silence.
This page shows, for each pair, what that means. (Made from the tests' own records by `python3 tools/dev.py docs`;
do not edit here.)

| sign | meaning |
|---|---|
| = | same protocol on both sides: the body is passed on byte for byte, but for the model's name |
| ✓ | translated, and nothing is lost |
| ⚠ | answered, and the header `x-ds2api-warning` names each field that did not arrive as it was sent |
| ✗ | refused with status 400, before a provider is asked, in an error that names the field |

A warning says what became of the field: *dropped* (left out), *approximated* (something near it was sent), *clamped*
(moved to the nearest value allowed), *emulated* (done by the gateway itself).

A model's route can be stricter (`losses = "refuse"`: every ⚠ becomes ✗) or more lenient (`losses = "allow"`: many ✗
become ⚠).
"""


def page() -> str:
    """The whole page, as Markdown."""
    cases = {name: dict(_cases(name)) for name in _NAMES}
    pieces = [_HEAD, _summary(cases), _recordings(), *(_layer(name) for name in _LAYERS)]
    pieces += [_client(name, cases[name]) for name in _NAMES]
    return "\n".join(piece for piece in pieces if piece)


def _cases(client: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted((_CASES / "requests" / client).glob("*.json")):
        yield file.stem, json.loads(file.read_text(encoding="utf-8"))["targets"]


def _sign(outcome: dict[str, Any]) -> str:
    if "refused" in outcome:
        return "✗"
    if outcome["losses"]:
        return "⚠"
    return "=" if outcome.get("relayed") else "✓"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    cells = list(head)
    lines = [cells, ["---"] * len(cells), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _summary(cases: dict[str, dict[str, dict[str, Any]]]) -> str:
    rows = []
    for client, features in cases.items():
        row = [f"**[{_NAMES[client]}](#{_anchor(client)})** ({len(features)})"]
        for upstream in _NAMES:
            signs = Counter(_sign(targets[upstream]) for targets in features.values())
            row.append(" ".join(f"{signs[sign]} {sign}" for sign in "=✓⚠✗" if signs[sign]))
        rows.append(row)
    total = sum(len(features) for features in cases.values())
    streams = sum(1 for _ in (_CASES / "streams").glob("*.json"))
    return f"""\
## At a glance

{total} requests, one feature each, sent through the gateway to all six upstreams ({total * len(_NAMES)} exchanges). The
upstreams are mocks that check what they get as strictly as the providers' own SDK types do. A row is a client's
protocol (with its number of features), a column the provider's. What a provider takes depends on the model, too (newest
ones refuse sampling settings, for example, which is then a ⚠); these were asked for: {", ".join(_models(cases))}.

{_table(["client ↓ upstream →", *_NAMES.values()], rows)}
Besides, {streams} upstream streams are kept with what each of the six clients gets to read: text, calls, thoughts,
refusals, cuts and failures in the middle. Requests and outcomes stand in `tests/cases`; `python -m pytest tests/cases`
checks them. In a feature's name, *back* means: in the history that the client sends again.
"""


def _models(cases: dict[str, dict[str, dict[str, Any]]]) -> list[str]:
    """Every model that a translated request named: in its body, or, at Gemini, in its path."""
    sent = [one for features in cases.values() for targets in features.values() for one in targets.values()]
    named = (one["request"].get("model") or _MODEL.findall(one["path"])[0] for one in sent if "request" in one)
    return sorted(set(named))


def _recordings() -> str:
    if not _RECORDINGS.exists():
        return ""
    record = json.loads(_RECORDINGS.read_text(encoding="utf-8"))
    text = ["## Recorded traffic\n"]
    for kind, corner, what in (
        ("answers", "recorded at ↓ read by →", _ANSWERS),
        ("requests", "recorded from ↓ sent to →", _REQUESTS),
    ):
        passed = record["passed"][kind]
        signs: dict[tuple[str, str], Counter[str]] = {}
        for where, others in record[kind].items():
            for other, losses in others.items():
                sign = "✗" if losses[0].startswith("refused: ") else "⚠"
                signs.setdefault((where.partition(" ")[0], other), Counter())[sign] += 1
        rows = [
            [
                f"{_NAMES[one]} ({passed[one][one]})",
                *(_counts(passed[one][other], one == other, signs.get((one, other), Counter())) for other in _NAMES),
            ]
            for one in _NAMES
            if one in passed
        ]
        text.append(f"{what}\n\n{_table([corner, *_NAMES.values()], rows)}")
    text.append(
        f"{record['passed']['other']} more are in protocols that the gateway only passes on: no byte changed.\n"
    )
    return "\n".join(text)


def _counts(total: int, is_own: bool, signs: Counter[str]) -> str:
    counted = {"=" if is_own else "✓": total - sum(signs.values()), "⚠": signs["⚠"], "✗": signs["✗"]}
    return " ".join(f"{number} {sign}" for sign, number in counted.items() if number)


_ANSWERS = """\
Answers of real providers, replayed through the gateway to the real SDK of each protocol, whole and streamed. Text, tool
calls with their arguments and order, the reason why it ended and the usage are what the recording says, for all of
them, and an error is an error. ⚠ counts those of which something else (a provider's own tool, a citation, the proof of
a thought) had no place and was reported."""
_REQUESTS = """\
Requests of real clients, sent through the gateway to an upstream of each protocol, which checks them strictly. Each was
taken, or refused before it was sent; what is lost is written down recording by recording, and nothing else may be."""


def _layer(name: str) -> str:
    file = _RUNS / f"{name}.json"
    if not file.exists():
        return f"## {_LAYERS[name]}\n\nNo run is recorded.\n"
    run = json.loads(file.read_text(encoding="utf-8"))
    versions = ", ".join(f"{package} {version}" for package, version in sorted(run["versions"].items()))
    counts = f"**{run['passed']} passed**, {run['failed']} failed, {run['skipped']} skipped"
    text = f"## {_LAYERS[name]}\n\n{run['date'][:16].replace('T', ' ')} UTC: {counts}. With {versions}.\n"
    rows = [
        [
            test.rpartition("::")[2].removeprefix("test_").replace("_", " "),
            *(str(counted.get(word, "")) for word in _WORDS),
        ]
        for test, counted in run["tests"].items()
    ]
    skipped = [(outcome.partition(": ")[2], cases) for outcome, cases in run["others"].items() if outcome != "failed"]
    reasons = "".join(f"* {why} ({len(cases)})\n" for why, cases in sorted(skipped))
    failed = "".join(f"* `{case}`\n" for case in run["others"].get("failed", ()))
    told = (f"\nWhy some were skipped:\n\n{reasons}" if reasons else "") + (
        f"\nWhat failed:\n\n{failed}" if failed else ""
    )
    return f"{text}\n{_table(['', *_WORDS], rows)}{told}"


_WORDS = ("passed", "failed", "skipped")


def _anchor(client: str) -> str:
    return f"clients-of-{_NAMES[client]}".lower().replace(" ", "-")


def _client(client: str, features: dict[str, dict[str, Any]]) -> str:
    rows = [[feature, *(_cell(targets[upstream]) for upstream in _NAMES)] for feature, targets in features.items()]
    reasons: dict[str, list[str]] = {}
    for feature, targets in features.items():
        words: dict[str, list[str]] = {}
        for upstream, outcome in targets.items():
            if "refused" in outcome:
                words.setdefault(outcome["message"].partition(": ")[2], []).append(_NAMES[upstream])
        reasons[feature] = [f"{', '.join(names)}: {word}" for word, names in words.items()]
    refused = "".join(f"* *{feature}* – {'; '.join(said)}\n" for feature, said in reasons.items() if said)
    return f"""\
## Clients of {_NAMES[client]}

{_table(["feature", *_NAMES.values()], rows)}
Why it is refused:

{refused}"""


def _cell(outcome: dict[str, Any]) -> str:
    sign = _sign(outcome)
    if sign == "✗":
        return f"✗ `{outcome['message'].partition(': ')[0]}`"
    if sign == "⚠":
        said = (unquote(loss).partition(" field=") for loss in outcome["losses"])
        return "⚠ " + "<br>".join(f"{code} `{path}`" for code, _, path in said)
    return sign


def main() -> int:
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
