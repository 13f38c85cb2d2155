"""Which models the providers have: asked at the start and with each new configuration, never during a request.

The list serves `GET /v1/models` and the hints of a wrong model name. A provider that does not answer has an empty
list; that is no fault of a request and stops none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ds2api import jsons
from ds2api.dialects.contract import ModelInfo
from ds2api.gateway.providers import Provider
from ds2api.gateway.secret import Secret
from ds2api.wire.errors import PeerError
from ds2api.wire.upstream import Client

__all__ = ["Catalogue", "Listing", "list_models"]

# Anthropic pages by 20 unless asked for more; OpenAI's whole list is about 100 entries and 20 KB.
_PAGE = 1000
_LIST_BYTES = 8 * 1024 * 1024
_MODELS_MOST = 5000
# What is mostly wrong where a connection fails in a phase (R176).
_HINTS = {
    "dns": "is the name in `base_url` right?",
    "connect": "is the port in `base_url` right, and does it run?",
    "tls": "is it http:// and not https://?",
    "head": "is it https:// and not http://?",
}


@dataclass(frozen=True, slots=True)
class Listing:
    """What one account's provider answered: its models, or why not (in words without a key)."""

    models: tuple[ModelInfo, ...] = ()
    status: int | None = None
    problem: str | None = None


class Catalogue:
    """The known models by provider."""

    def __init__(self) -> None:
        self._by_provider: dict[str, dict[str, ModelInfo]] = {}

    def learn(self, provider: str, models: Sequence[ModelInfo]) -> None:
        self._by_provider[provider] = {model.id: model for model in models[:_MODELS_MOST]}

    def names(self, provider: str) -> list[str]:
        return list(self._by_provider.get(provider, ()))

    def info(self, name: str, owner: str) -> ModelInfo:
        """The entry of `name`; a bare one where the provider did not tell."""
        known = self._by_provider.get(owner, {}).get(name)
        return known if known is not None else ModelInfo(name, owner)

    async def refresh(self, client: Client, providers: Mapping[str, Provider]) -> dict[str, Listing]:
        """Ask every provider, with its first account that answers. Keeps what was known where none does."""
        found = await asyncio.gather(*(self._ask(client, provider) for provider in providers.values()))
        return dict(zip(providers, found, strict=True))

    async def _ask(self, client: Client, provider: Provider) -> Listing:
        listing = Listing(problem="it has no account")
        for secret in provider.secrets.values():
            listing = await list_models(client, provider, secret)
            if listing.problem is None:
                self.learn(provider.name, listing.models)
                break
        return listing


async def list_models(client: Client, provider: Provider, secret: Secret | None) -> Listing:
    """Ask `provider` for its models with `secret`. Never raises for what the provider does."""
    endpoint = next(iter(provider.endpoints.values()))
    headers = [("accept", "application/json"), ("accept-encoding", "identity"), ("user-agent", "ds2api")]
    if endpoint.dialect == "messages":
        headers.append(("anthropic-version", provider.anthropic_version))
    headers += [*endpoint.headers, *endpoint.credential(secret)]
    query = f"?limit={_PAGE}" if endpoint.dialect == "messages" else ""
    try:
        answer = await client.send(endpoint.origin, "GET", f"{endpoint.base_path}/models{query}", headers, b"")
        try:
            body = await answer.read(_LIST_BYTES)
        finally:
            answer.close()
    except PeerError as error:
        hint = _HINTS.get(error.phase)
        return Listing(problem=f"{error.message} ({error.phase})" + (f"; {hint}" if hint else ""))
    if answer.status != 200:
        hint = {
            401: "the key is refused",
            403: "the key may not do this",
            404: "no model list at this URL; is the base URL right?",
            429: "the key works, but is rate limited",
        }.get(answer.status, "the provider refused")
        return Listing(status=answer.status, problem=hint)
    try:
        data = jsons.parse_object(body).get("data")
    except jsons.JsonError:
        data = None
    if not isinstance(data, list):
        return Listing(status=200, problem="the answer is no model list; is the base URL right?")
    models = [
        ModelInfo(
            entry["id"],
            provider.name,
            entry["created"] if isinstance(entry.get("created"), int) else 0,
            entry["display_name"] if isinstance(entry.get("display_name"), str) else None,
        )
        for entry in data
        if isinstance(entry, dict) and isinstance(entry.get("id"), str)
    ]
    return Listing(tuple(models), 200)
