"""What the dialects read alike of a provider's error: the meaning of its status alone, and `retry-after`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from ds2api.universal.errors import Fault, Kind

__all__ = ["BY_STATUS", "by_status", "retry_after_s"]

BY_STATUS: Mapping[int, tuple[Fault, Kind]] = {
    400: (Fault.REQUEST, Kind.BAD_REQUEST),
    401: (Fault.ACCOUNT, Kind.UNAUTHENTICATED),
    402: (Fault.ACCOUNT, Kind.QUOTA_EXHAUSTED),
    403: (Fault.ACCOUNT, Kind.FORBIDDEN),
    404: (Fault.REQUEST, Kind.NOT_FOUND),
    405: (Fault.PROVIDER, Kind.METHOD_NOT_ALLOWED),
    408: (Fault.PROVIDER, Kind.TIMEOUT),
    409: (Fault.PROVIDER, Kind.CONFLICT),
    413: (Fault.REQUEST, Kind.TOO_LARGE),
    415: (Fault.REQUEST, Kind.UNSUPPORTED_MEDIA),
    422: (Fault.REQUEST, Kind.BAD_REQUEST),
    429: (Fault.ACCOUNT, Kind.RATE_LIMITED),
    503: (Fault.PROVIDER, Kind.OVERLOADED),
    504: (Fault.PROVIDER, Kind.TIMEOUT),
    524: (Fault.PROVIDER, Kind.TIMEOUT),  # Cloudflare's
    529: (Fault.PROVIDER, Kind.OVERLOADED),
}


def by_status(status: int | None) -> tuple[Fault, Kind]:
    """What `status` means where nothing says more: any other of 400 to 499 is the request's fault."""
    is_request = status is not None and 400 <= status < 500
    other = (Fault.REQUEST, Kind.BAD_REQUEST) if is_request else (Fault.PROVIDER, Kind.UPSTREAM_FAILED)
    return BY_STATUS.get(status or 0, other)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """`retry-after-ms` or `retry-after`, in seconds. A date counts from the answer's own `date`."""
    low = {name.lower(): value for name, value in headers.items()}
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(low[name]) / unit
        except (KeyError, ValueError):
            continue
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    try:
        until, now = parsedate_to_datetime(low["retry-after"]), parsedate_to_datetime(low["date"])
        return max(0.0, (until - now).total_seconds())
    except (KeyError, ValueError, TypeError):  # absent, no date, or one with and one without a zone
        return None
