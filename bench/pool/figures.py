"""What one run is judged by: `pool-model.md` §6 as numbers.

Counted is what arrives within the measured span (goodput: what the provider admits within it). A request's *weight* is
its share of the pool's capacity a minute in its tightest count. Goodput is counted in it: where requests differ in
size, whoever leaves the large ones standing would have the larger number of answers.

A refusal is *honest* when its `retry-after` is within 20 % (or within half a second: wires carry whole ones) of the
time after which an ideal line with the same backlog would admit that request: everything that stands in the
scheduler's line for the model, callers taking turns by max-min shares, against what the provider's buckets hold and
get (`Provider.line_wait_s`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

__all__ = ["Attempt", "Figures"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request on one account, when it met the provider. `status` 0: admitted."""

    at: float
    provider: str
    account: str
    status: int
    is_measured: bool


@dataclass
class Figures:
    asked: Counter[str] = field(default_factory=Counter)  # by caller
    served: Counter[str] = field(default_factory=Counter)
    asked_weight: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    served_weight: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    good: float = 0.0  # the weight of what was answered in full and admitted within the span
    visible: Counter[str] = field(default_factory=Counter)  # what clients saw instead of an answer
    attempts: list[Attempt] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    turns_after: int = 0
    turns_same: int = 0
    told_waits: list[tuple[float, float]] = field(default_factory=list)  # (retry-after, the ideal line's)
    late: Counter[str] = field(default_factory=Counter)  # account → attempts begun after its death was known
    left_over: str = ""  # what the pool still holds at the end

    def wait_s(self, share: float) -> float:
        waits = sorted(self.waits)
        return waits[min(len(waits) - 1, int(len(waits) * share))] if waits else 0.0

    @property
    def seen(self) -> int:
        """Requests whose client saw an error."""
        return sum(self.visible.values())

    @property
    def waste(self) -> float:
        measured = [one for one in self.attempts if one.is_measured]
        return sum(one.status != 0 for one in measured) / max(1, len(measured))

    @property
    def affinity(self) -> float:
        return self.turns_same / self.turns_after if self.turns_after else 1.0

    @property
    def honest(self) -> float:
        """The share of refusals whose `retry-after` was right; 1 where nobody was refused."""
        right = sum(abs(said - true) <= max(0.2 * true, 0.5) for said, true in self.told_waits)
        return right / len(self.told_waits) if self.told_waits else 1.0

    @property
    def fairness(self) -> float:
        """The worst caller's served weight ÷ its max-min fair share of everything that was served."""
        left, shares = sum(self.served_weight.values()), dict[str, float]()
        for place, (caller, demand) in enumerate(sorted(self.asked_weight.items(), key=lambda one: one[1])):
            shares[caller] = min(demand, left / (len(self.asked_weight) - place))
            left -= shares[caller]
        return min((self.served_weight[caller] / share for caller, share in shares.items() if share), default=1.0)

    def refused_share(self, since: float, until: float) -> float:
        """The share of attempts begun in this span that the provider refused."""
        found = [one.status != 0 for one in self.attempts if since <= one.at < until]
        return sum(found) / max(1, len(found))

    def count(self, provider: str, since: float, until: float) -> int:
        """Attempts at `provider` in this span."""
        return sum(one.provider == provider and since <= one.at < until for one in self.attempts)

    def back_s(self, provider: str, ended_at: float, before_s: float = 60.0, outage_s: float = 30.0) -> float:
        """How long after an outage's end until `provider` has, for two seconds on end, 95 % of the share of answers
        that it had before; infinity if never. The share, not the rate: it does not depend on who asks just now."""
        began = ended_at - outage_s
        served = [one for one in self.attempts if not one.status]

        def share(since: float, until: float) -> float:
            found = [one.provider == provider for one in served if since <= one.at < until]
            return sum(found) / max(1, len(found))

        former = share(began - before_s, began)
        steps = (step * 0.25 for step in range(240))
        return next((s for s in steps if share(ended_at + s, ended_at + s + 2) >= 0.95 * former), float("inf"))
