"""Errors as Mistral's clients read them: one flat object, or FastAPI's list for a request that cannot be read.

What an error means (status, type, code, whose words a client may see) is OpenAI's table, which Mistral's clients
share; only the form differs. A request that our own reader refuses is a 422 with ``detail``, of which the SDK makes
its `HTTPValidationError`; all else becomes its `SDKError`, whose text is the body.
"""

from __future__ import annotations

import re
from typing import Any

from ds2api import jsons
from ds2api.dialects import openai_errors
from ds2api.dialects.contract import WrittenError
from ds2api.universal.errors import Error, Fault, Kind

__all__ = ["write_error"]

_STEP = re.compile(r"[^.\[\]]+")


def write_error(error: Error, request_id: str) -> WrittenError:
    """Ours or a provider's, for a client. Total over `Kind`."""
    written = openai_errors.write_error(error, request_id)
    said = openai_errors.error_object(error)
    if error.kind is Kind.BAD_REQUEST and error.fault is Fault.REQUEST and error.status is None:
        detail = {"loc": _place(error.param), "msg": said["message"], "type": "value_error"}
        return WrittenError(422, jsons.dump({"detail": [detail]}), written.headers)
    flat: dict[str, Any] = {"object": "error", **said}
    return WrittenError(written.status, jsons.dump(flat), written.headers)


def _place(path: str | None) -> list[str | int]:
    """``messages[0].role`` as ``["body", "messages", 0, "role"]``."""
    steps = _STEP.findall(path or "")
    return ["body", *(int(step) if step.isdecimal() and step.isascii() else step for step in steps)]
