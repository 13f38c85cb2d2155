"""What is measured: the work, who does it, and the goals.

A *unit* is what the CPU time is divided by: a request, a stream, an event.
"""

from __future__ import annotations

from dataclasses import dataclass

EVENTS = 200
PROTOCOLS = ("chat", "responses", "messages", "gemini", "ollama", "mistral")


@dataclass(frozen=True)
class Case:
    """One kind of work. `goal_ratio` is the most CPU, as a multiple of the floor's for the same work; `goal_ms` the
    most in milliseconds."""

    name: str
    client: str  # the client's protocol
    model: str  # "<upstream's protocol>-<what the mock does>"
    connections: int
    requests: int
    unit: str = "request"
    pad: int = 0
    fields: int = 4
    goal_ratio: float | None = None
    goal_ms: float | None = None

    @property
    def goal(self) -> str:
        """In words."""
        if self.goal_ratio is not None:
            return f"{self.goal_ratio:g} × floor"
        return "" if self.goal_ms is None else f"{self.goal_ms:g} ms"


def cases(*, quick: bool) -> list[Case]:
    """The cases of a run. `quick` is for a look, not for figures to quote."""
    small, fast, streams = (600, 60, 30) if quick else (4000, 400, 300)
    pairs = [("chat", "chat"), ("messages", "messages"), ("chat", "messages"), ("messages", "chat")]
    listed = []
    for client, upstream in pairs:
        way = client if client == upstream else f"{client}→{upstream}"
        is_relay = client == upstream
        listed += [
            Case(f"small JSON {way}", client, f"{upstream}-small", 20, small, goal_ms=0.1 if is_relay else 0.15),
            Case(
                f"stream, fast {way}",
                client,
                f"{upstream}-fast",
                20,
                fast,
                "stream",
                goal_ratio=1.25 if is_relay else 2.5,
            ),
            Case(
                f"stream, paced {way}",
                client,
                f"{upstream}-paced",
                streams,
                streams,
                "event",
                goal_ratio=1.15 if is_relay else 1.5,
            ),
        ]
    listed += [
        Case("small JSON chat, SDK's head", "chat", "chat-small", 20, small, fields=16, goal_ms=0.15),
        Case("small JSON chat→messages, SDK's head", "chat", "messages-small", 20, small, fields=16, goal_ms=0.2),
        Case("200 KB request chat", "chat", "chat-small", 4, small // 10, pad=190_000, goal_ms=0.5),
        Case("200 KB request chat→messages", "chat", "messages-small", 4, small // 10, pad=190_000, goal_ms=2.5),
    ]
    return listed


def pairs(*, quick: bool, paced: bool = False) -> list[Case]:
    """A stream for each client over each upstream."""
    count, kind, unit = (60 if quick else 300), "paced" if paced else "fast", "event" if paced else "stream"
    return [
        Case(f"{client}→{upstream}", client, f"{upstream}-{kind}", count if paced else 20, count, unit)
        for client in PROTOCOLS
        for upstream in PROTOCOLS
    ]


def over_tls(*, quick: bool) -> list[Case]:
    """What is relayed over TLS to the upstream."""
    small, fast, streams = (600, 60, 60) if quick else (2000, 200, 200)
    return [
        Case("small JSON chat, TLS", "chat", "chat-small", 20, small),
        Case("stream, fast chat, TLS", "chat", "chat-fast", 20, fast, "stream", goal_ratio=1.2),
        Case("stream, paced chat, TLS", "chat", "chat-paced", streams, streams, "event", goal_ratio=1.2),
    ]
