"""What whole answers and streams for Mistral's clients share: content chunks, calls, the proof of a thought.

A thought's proof travels in the chunk's `signature`: Mistral's own as it came, any other in our envelope.
"""

from __future__ import annotations

from typing import Any

from ds2api import jsons
from ds2api.dialects.contract import Asker
from ds2api.universal.envelope import PREFIX
from ds2api.universal.parts import Sealed

__all__ = ["FAMILY", "image_chunk", "text_chunk", "thinking_chunk", "written_call", "written_signature"]

FAMILY = ("mistral", "chat")  # whose content chunks are Mistral's: a provider's stream is read by chat's decoder


def text_chunk(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def thinking_chunk(text: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": [text_chunk(text)] if text else []}


def image_chunk(media_type: str | None, data: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": f"data:{media_type or 'image/png'};base64,{data}"}


def written_call(identity: str, name: str, arguments: str, index: int, *, custom: bool) -> dict[str, Any]:
    """Whole, as the SDK needs it. The free text of a custom tool, which Mistral has not, is one string `input`."""
    if custom:
        arguments = jsons.dump({"input": arguments}).decode()
    function = {"name": name, "arguments": arguments}
    return {"id": identity, "type": "function", "function": function, "index": index}


def written_signature(sealed: Sealed, asker: Asker) -> str | None:
    """None: nothing here can carry it."""
    if sealed.kind == "openrouter" and not sealed.data.startswith(PREFIX):
        try:
            carrier = jsons.parse(sealed.data)
        except jsons.JsonError:
            carrier = None
        if (
            isinstance(carrier, dict)
            and carrier.get("type") == "thinking"
            and isinstance(carrier.get("signature"), str)
        ):
            signature: str = carrier["signature"]
            return signature
    if asker.sealer is None:
        return None
    return asker.sealer.seal(sealed, asker.provider, asker.upstream_model, asker.account)
