"""Whether a chat server takes a chat request as its client wrote it.

Relaying is the rule: whatever is not known to be refused goes out untouched, and the server names what it does not
take. What a row of the flavour table or the model's family is known to refuse is written anew instead, with each
difference reported.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from ds2api.dialects.chat.flavours import PLAIN, flavour_of
from ds2api.dialects.chat.models import capabilities_of
from ds2api.dialects.contract import Target

__all__ = ["fits"]

_NINE_LETTERS = re.compile(r"[A-Za-z0-9]{9}")


def fits(body: dict[str, Any], target: Target) -> bool:
    """See `contract.Dialect.fits`."""
    flavour = flavour_of(target.flavour)
    capabilities = capabilities_of(target.model, target.capabilities)
    is_strict = flavour.strict_order or capabilities.strict_order
    if flavour is PLAIN and not is_strict:
        return True
    if any(value is not None and not flavour.takes(name) for name, value in body.items()):
        return False
    # Most such servers ignore the younger name in silence, and with it the limit.
    if flavour.max_tokens_field == "max_tokens" and body.get("max_completion_tokens") is not None:
        return False
    messages = [message for message in body.get("messages", ()) if isinstance(message, dict)]
    if is_strict and any((one.get("role"), two.get("role")) == ("tool", "user") for one, two in pairwise(messages)):
        return False
    return all(_fits(message, flavour.reasoning_with_calls, flavour.nine_letter_ids) for message in messages)


def _fits(message: dict[str, Any], reasoning_with_calls: bool, nine_letter_ids: bool) -> bool:
    calls = message.get("tool_calls")
    if calls and reasoning_with_calls and "reasoning_content" not in message:
        return False
    if not nine_letter_ids:
        return True
    ids = [call.get("id") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    if message.get("role") == "tool":
        ids.append(message.get("tool_call_id"))
    return all(isinstance(one, str) and _NINE_LETTERS.fullmatch(one) for one in ids)
