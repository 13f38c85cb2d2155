"""Reasoning that a client's protocol could not carry, kept for the turn in which its provider wants it back.

A provider that thinks wants its thoughts, or the proof of them, again with the next request of the conversation.
Ollama's and Mistral's clients have no field for that, and many chat clients drop the fields they do not know. So a
thought is kept under whatever names the turn it belongs to (its calls' ids, what was called with what, its text), and
put back where such a turn comes without any.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ds2api import jsons
from ds2api.stores.bounded import Bounded
from ds2api.stores.settings import StoreLimits
from ds2api.universal.parts import Call, Part, Reasoning, Sealed, Text

__all__ = ["TextName", "Thought", "Thoughts", "call_name"]

_OVERHEAD_BYTES = 300


@dataclass(frozen=True, slots=True)
class Thought:
    """What one turn held beside what its client saw. `provider` and `model` made it and are the only ones who take it
    back. `calls` are the proofs that stood on calls, by the name of the call; `text` that on the turn's text."""

    provider: str
    model: str
    reasoning: tuple[Reasoning, ...] = ()
    calls: tuple[tuple[str, Sealed], ...] = ()
    text: Sealed | None = None


class Thoughts:
    """All thoughts of one gateway, per caller."""

    def __init__(self, limits: StoreLimits) -> None:
        self._thoughts: Bounded[tuple[str, str], Thought] = Bounded(limits.thoughts_bytes, limits.thoughts_total_s)
        # Who made any of them for whom: no more than there can be thoughts.
        most = limits.thoughts_bytes // _OVERHEAD_BYTES
        self._makers: Bounded[tuple[str, str, str], bool] = Bounded(most, limits.thoughts_total_s)

    def keep(self, caller: str, calls: Iterable[Call], text: TextName, thought: Thought, now: float) -> None:
        """Keep `thought` for the turn of `calls` and `text`, under every name that it may come back by."""
        proofs = [sealed for _, sealed in thought.calls] + [one.sealed for one in thought.reasoning if one.sealed]
        size = sum(len(one.text) for one in thought.reasoning) + sum(len(proof.data) for proof in proofs)
        self._makers.put((caller, thought.provider, thought.model), value=True, size_bytes=1, now=now)
        for name in _names(list(calls), text):
            self._thoughts.put((caller, name), thought, size + _OVERHEAD_BYTES, now)

    def has_any(self, caller: str, provider: str, model: str, now: float) -> bool:
        """Whether `find` may find something: to know it costs nothing, to name a turn does."""
        return self._makers.get((caller, provider, model), now) is not None

    def find(self, caller: str, parts: Iterable[Part], provider: str, model: str, now: float) -> Thought | None:
        """What belongs to a turn of `parts`, if `model` at `provider` made it."""
        text, calls = TextName(), []
        for part in parts:
            if isinstance(part, Call):
                calls.append(part)
            elif isinstance(part, Text):
                text.add(part.text)
        for name in _names(calls, text):
            thought = self._thoughts.get((caller, name), now)
            if thought is not None and (thought.provider, thought.model) == (provider, model):
                return thought
        return None


_ASCII_BLANKS = bytes(code for code in range(128) if chr(code).isspace())


class TextName:
    """Tells a text from others as it comes, in any pieces; clients trim and join, so blanks say nothing."""

    __slots__ = ("_hash",)

    def __init__(self) -> None:
        self._hash: hashlib.blake2b | None = None  # half a kilobyte, for the few answers that need it

    def add(self, text: str) -> None:
        if text.isascii():  # the same, at a third of the cost: this is asked of every text of some providers
            letters = text.encode().translate(None, _ASCII_BLANKS)
        else:
            letters = "".join(text.split()).encode("utf-8", "replace")
        if letters:
            self._hash = self._hash or hashlib.blake2b(digest_size=16)
            self._hash.update(letters)

    @property
    def value(self) -> str | None:
        """None for a text of nothing but blanks."""
        return None if self._hash is None else self._hash.hexdigest()


def _names(calls: Sequence[Call], text: TextName) -> list[str]:
    """What tells a turn from others, the surest first: ids of its calls, what they call, else its text."""
    names = ["id:" + call.id for call in calls if call.id] + ["call:" + call_name(call) for call in calls]
    return names if names or text.value is None else ["text:" + text.value]


def call_name(call: Call) -> str:
    """Equal for calls of the same tool with the same arguments, however their JSON is spelled."""
    try:
        arguments = jsons.dump(jsons.parse(call.arguments or "{}")).decode()
    except jsons.JsonError:
        arguments = call.arguments
    return _digest(f"{call.name}\n{arguments}")


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()
