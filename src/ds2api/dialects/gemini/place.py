"""The URL of a Gemini request, which says what other protocols have in the body: the model, the verb, the form.

``/v1beta/models/MODEL:VERB?alt=sse``. A model's name may hold ``:`` and ``/`` (``m:latest``, ``tunedModels/x``), so
the verb is what follows the last colon. A name goes out percent-encoded, in one segment; a key in the query never does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode

from ds2api.universal.errors import Problem

__all__ = ["STREAM_VERB", "Place", "place_of", "read_place", "relayed_place", "resource_name"]

STREAM_VERB = "streamGenerateContent"

_PLACE = re.compile(r"/(models|tunedModels)/(.+):([A-Za-z]+)$")
# Credentials of the caller, and the form of the answer, which is the gateway's to say.
_LEFT_OUT = frozenset({"key", "access_token", "oauth_token", "alt", "$alt"})


@dataclass(frozen=True, slots=True)
class Place:
    """`is_array`: a stream without ``alt=sse`` is one JSON array."""

    model: str
    verb: str
    is_array: bool = False

    @property
    def is_stream(self) -> bool:
        return self.verb == STREAM_VERB


def read_place(target: str) -> Place:
    """The place in a client's request target. Raises `Problem` where it names no model."""
    path, _, query = target.partition("?")
    found = _PLACE.search(unquote(path))
    name = found[2].removeprefix("models/") if found else ""
    if found is None or not name:
        raise Problem.bad_request("model: the path names none; expected /v1beta/models/MODEL:generateContent", "model")
    is_stream = found[3] == STREAM_VERB
    is_sse = dict(parse_qsl(query)).get("alt", "").lower() == "sse"
    return Place(f"tunedModels/{name}" if found[1] == "tunedModels" else name, found[3], is_stream and not is_sse)


def resource_name(model: str) -> str:
    """The name with its collection: ``models/x``."""
    return model if model.startswith(("models/", "tunedModels/")) else f"models/{model}"


def place_of(model: str, verb: str) -> str:
    """Where a provider is asked, after the version prefix."""
    collection, _, name = resource_name(model).partition("/")
    return f"/{collection}/{quote(name, safe='@~')}:{verb}" + ("?alt=sse" if verb == STREAM_VERB else "")


def relayed_place(target: str, model: str) -> str:
    """The client's own place with the provider's name of the model, without its credential."""
    place = place_of(model, read_place(target).verb)
    query = parse_qsl(target.partition("?")[2], keep_blank_values=True)
    kept = urlencode([(name, value) for name, value in query if name not in _LEFT_OUT])
    return place + (f"{'&' if '?' in place else '?'}{kept}" if kept else "")
