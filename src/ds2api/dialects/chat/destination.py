"""Where a chat request goes, and what every writer of a part of it must know.

One `Destination` is made for each translation and asked by all writers: what the server takes (`flavour`,
`capabilities`), whose words the request is in (`is_same`: the client speaks chat too), where losses are said.
It owns the names that must change on the way: both rules are pure functions of the name, so that equal requests
stay equal and a call and its result meet again.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

from ds2api.dialects.chat.flavours import PLAIN, Flavour, flavour_of
from ds2api.dialects.chat.models import Capabilities, capabilities_of
from ds2api.dialects.contract import Target
from ds2api.dialects.proofs import opened_for
from ds2api.universal.losses import Losses
from ds2api.universal.parts import Extra, Sealed
from ds2api.universal.request import Request
from ds2api.universal.restore import Restore

__all__ = ["Destination", "destination_of"]

# FunctionDefinition of the SDK: a-z, A-Z, 0-9, underscores and dashes, at most 64.
_NAME_LIMIT = 64
_LEGAL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ILLEGAL_LETTER = re.compile(r"[^A-Za-z0-9_-]")
# OpenAI answers a 400 beyond ("string too long … maximum length 40").
_ID_LIMIT = 40
_NINE_LETTERS = re.compile(r"[A-Za-z0-9]{9}")
_BASE_62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(slots=True)
class Destination:
    target: Target
    flavour: Flavour
    capabilities: Capabilities
    losses: Losses
    is_same: bool  # the client speaks chat
    is_old: bool  # it speaks of functions, not of tools
    restore: Restore = field(default_factory=Restore)

    @property
    def is_verbatim(self) -> bool:
        """From chat to plain chat: what came goes out, and the server names what it does not take."""
        return self.is_same and self.flavour is PLAIN

    @property
    def custom_tools(self) -> bool:
        known = self.flavour.custom_tools
        return self.is_same if known is None else known

    @property
    def allowed_tools(self) -> bool:
        known = self.flavour.allowed_tools
        return self.is_same if known is None else known

    @property
    def strict_order(self) -> bool:
        return self.flavour.strict_order or self.capabilities.strict_order

    def tool_name(self, name: str) -> str:
        """`name` as the server takes it: cut and marked with a hash of the whole where it is too long (R052)."""
        if self.is_same or _LEGAL_NAME.fullmatch(name):
            return name
        mark = hashlib.sha256(name.encode()).hexdigest()[:10]
        short = f"{_ILLEGAL_LETTER.sub('_', name)[: _NAME_LIMIT - 11]}_{mark}"
        self.restore.tool_names[short] = name
        return short

    def call_id(self, identity: str) -> str:
        """`identity` as the server takes it, the same for a call and its result (R077)."""
        if self.flavour.nine_letter_ids:
            if _NINE_LETTERS.fullmatch(identity):
                return identity
            number = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big")
            letters = []
            for _ in range(9):
                number, place = divmod(number, 62)
                letters.append(_BASE_62[place])
            return "".join(letters)
        if not self.is_same and len(identity) > _ID_LIMIT:
            return "call_" + hashlib.sha256(identity.encode()).hexdigest()[:24]
        return identity

    def opened(self, sealed: Sealed) -> Sealed | None:
        """The proof inside our own envelope, if this very place made it; None for every other."""
        return opened_for(self.target, sealed)[0]

    def lose_extra(self, extra: Extra | None, path: str, without_meaning: frozenset[str] = frozenset()) -> None:
        """Say what of `extra` another dialect's client loses. Nothing for chat's own, which is written back."""
        if extra is None or extra.dialect == "chat":
            return
        for name in extra.fields:
            if name in without_meaning:
                continue
            where = f"{path}.{name}" if path else name
            if name in extra.grave:
                self.losses.refuse_soft(where, "chat completions has nothing like it")
            else:
                self.losses.report("dropped", where, "chat completions has nothing like it")


def destination_of(request: Request, target: Target) -> Destination:
    is_same = request.dialect == "chat"
    return Destination(
        target,
        flavour_of(target.flavour),
        capabilities_of(target.model, target.capabilities),
        Losses(target.losses),
        is_same,
        is_same and request.path_of("tools") == "functions",
    )
