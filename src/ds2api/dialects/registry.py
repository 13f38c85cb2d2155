"""Every dialect that is spoken here, by its name. A new one is a folder and a line in this table."""

from __future__ import annotations

from collections.abc import Mapping

from ds2api.dialects.chat import DIALECT as CHAT
from ds2api.dialects.contract import Dialect
from ds2api.dialects.messages import DIALECT as MESSAGES

__all__ = ["DIALECTS"]

DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in (CHAT, MESSAGES)}
