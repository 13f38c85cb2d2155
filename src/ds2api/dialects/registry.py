"""Every dialect that is spoken here, by its name. A new one is a folder and a line in this table."""

from __future__ import annotations

from collections.abc import Mapping

from ds2api.dialects.chat import DIALECT as CHAT
from ds2api.dialects.contract import Dialect
from ds2api.dialects.gemini import DIALECT as GEMINI
from ds2api.dialects.messages import DIALECT as MESSAGES
from ds2api.dialects.mistral import mistral
from ds2api.dialects.ollama import DIALECT as OLLAMA
from ds2api.dialects.responses import DIALECT as RESPONSES

__all__ = ["DIALECTS"]

# Mistral's clients speak a protocol of their own; its servers speak chat with an accent, which chat's doors know.
MISTRAL = mistral(CHAT)

DIALECTS: Mapping[str, Dialect] = {
    dialect.name: dialect for dialect in (CHAT, RESPONSES, MESSAGES, GEMINI, OLLAMA, MISTRAL)
}
