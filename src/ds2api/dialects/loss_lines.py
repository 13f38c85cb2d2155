"""Losses of an answer, said in an event stream: comments, which every parser of event streams skips."""

from __future__ import annotations

from collections.abc import Iterable

from ds2api.universal.losses import Loss

__all__ = ["loss_lines"]


def loss_lines(losses: Iterable[Loss]) -> bytes:
    """One line each, and a blank line; nothing for none."""
    lines = "".join(f": x-ds2api-warning {loss.warning}\n" for loss in losses)
    return f"{lines}\n".encode() if lines else b""
