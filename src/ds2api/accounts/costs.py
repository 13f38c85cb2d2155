"""What a request will cost, guessed before it is sent and learned from what answers said.

Providers count four things: requests, all tokens (OpenAI: the prompt and `max_tokens`, at admission), input tokens
that no cache held (Anthropic), output tokens as they are generated. The guess of the input comes with the ask (bytes
of text); here it is corrected per provider and model by the usage of earlier answers. What was in the turn before
stands in the cache of the account that answered it, if client and provider have one: how much of it is read is learned.
"""

from __future__ import annotations

from typing import NamedTuple

from ds2api.universal.usage import Usage

__all__ = ["Cost", "Estimates"]

# One answer in eight weighs as much as all before it together would fade by: quick enough for another kind of client,
# slow enough for one odd answer.
_GAIN = 0.125
# Nothing real is beyond: Chinese text at four bytes a token is three times the guess, JSON half of it.
_LEAST, _MOST = 0.25, 4.0
# A request that is larger than it was taken for is refused: so many usual errors are added. (Of errors that are spread
# evenly, two are the largest.) What is too much comes back with the answer.
_CAUTION = 2.0
# The next turn of a conversation is of the same kind of text as the one before, but for a little.
_SAME = 1.02
# The output of a request of a model that has not answered yet: the middle of what chat answers are.
_FIRST_OUTPUT = 300.0


class Cost(NamedTuple):
    """Units that an attempt takes out of the buckets of the four kinds (`bucket.KINDS` in this order)."""

    requests: float = 1.0
    tokens: float = 0.0
    input: float = 0.0
    output: float = 0.0


class Estimates:
    """What the pool has learned about the size of one model's requests at one provider."""

    __slots__ = ("_error", "_hit", "_output", "_total")

    def __init__(self) -> None:
        self._total = 1.0  # real input / guess
        self._error = 0.0  # by how much of it that is off, usually
        self._hit = 0.0  # of what may stand in the cache, so much was read from it
        self._output = _FIRST_OUTPUT

    def cost(
        self,
        input_tokens: float,
        output_limit: float | None,
        *,
        cached: float = 0.0,
        factor: float | None = None,
        caution: float = _CAUTION,
    ) -> Cost:
        """The cost of a request whose input is guessed as `input_tokens`, of which `cached` were in the turn before;
        `factor`: what the turn before really had for each. Without `caution` the likely one."""
        factor = self._total + caution * self._error if factor is None else factor * _SAME
        output = self._output if output_limit is None else min(self._output, output_limit)
        most = self._output if output_limit is None else output_limit
        uncached = max(0.0, input_tokens - self._hit * min(cached, input_tokens))
        return Cost(1.0, input_tokens * factor + most, uncached * factor, output)

    def learn(self, input_tokens: float, cached: float, usage: Usage) -> None:
        """An answer to a request guessed as `input_tokens`, of which `cached` were in the turn before, used `usage`."""
        total, output = usage.input_total, usage.output_total
        if total and input_tokens > 0:
            off = min(max(total / input_tokens, _LEAST), _MOST) - self._total
            self._total += off * _GAIN
            self._error += (abs(off) - self._error) * _GAIN
            if cached > 0:
                # By what this very request had for each token of its guess: some percent less than all would double
                # what a long conversation seems to cost.
                read = (usage.cache_read or 0) * input_tokens / (cached * total)
                self._hit += (min(1.0, read) - self._hit) * _GAIN
        if output is not None:
            self._output += (output - self._output) * _GAIN
