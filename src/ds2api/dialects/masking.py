"""Takes keys, organisation ids and inner addresses out of a provider's message before a client reads it (R156).

Only messages about the client's own request are passed on at all; even those repeat what should not be seen. The
patterns err towards masking: a masked word costs a reader a guess, a passed key costs its owner money.
"""

from __future__ import annotations

import re

__all__ = ["masked"]

_SECRETS = re.compile(
    r"""
      (?P<keep> (?:bearer|basic) \s+ ) [\w.~+/=*-]{6,}
    | \b (?: sk | pk | rk | gsk | xai | hf | r8 | pplx | nvapi | sess | csk | fw | tgp | ya29 | key )
        [-_.] (?=[\w*.-]*[\d*]) [\w*.-]{4,}
    | \b (?: org | proj ) [-_] [\w*-]{2,}
    | \b AIza [\w-]{10,}
    | \b (?: AKIA | ASIA ) [A-Z0-9]{12,}
    | \b eyJ [\w-]{8,} (?: \. [\w-]+ )*
    | \b (?=[\w+/=-]*\d) (?=[\w+/=-]*[A-Za-z]) [A-Za-z0-9+/=_-]{40,}
    | \b https?:// (?: localhost | \d{1,3}(?:\.\d{1,3}){3} | \[ [0-9a-f:]+ \] | [\w.-]+ \.(?:internal|local|svc|lan)\b )
        [^\s"'<>]*
    | \b (?: (?: 10 | 127 ) \.\d{1,3} | 192\.168 | 172\.(?:1[6-9]|2\d|3[01]) | 169\.254 )
        (?: \.\d{1,3} ){2} (?: :\d+ )? \b
    """,
    re.VERBOSE | re.IGNORECASE,
)


def masked(text: str) -> str:
    """`text` with "[…]" in place of what looks like a key, an organisation's id or an inner address."""
    return _SECRETS.sub(lambda found: f"{found['keep'] or ''}[…]", text)
