"""What a client may ask beside an answer: the tokens of a request, embeddings, what only a provider of its own dialect
knows, and a provider's own API. Each is a short story of its own; the tries are `Trying`'s, one try is `Errand`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ds2api.accounts import Lease
from ds2api.dialects.contract import Peek
from ds2api.dialects.registry import DIALECTS
from ds2api.gateway.callers import Caller
from ds2api.gateway.client_answer import ClientAnswer
from ds2api.gateway.client_request import ClientRequest
from ds2api.gateway.earlier import go_on
from ds2api.gateway.errand import Errand, relayed_headers
from ds2api.gateway.providers import Endpoint, Provider
from ds2api.gateway.routes import ResolvedTarget
from ds2api.gateway.trying import Trying, Wanted
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.losses import Loss
from ds2api.universal.usage import Usage

__all__ = ["count_tokens", "embed", "pass_on", "peek_alone", "relay"]


async def count_tokens(
    trying: Trying, request: ClientRequest, places: Sequence[ResolvedTarget], caller: Caller
) -> None:
    """How many tokens a request would be: the provider's count where it has one, else the gateway's guess,
    which says that it is one."""
    dialect = request.dialect
    house, counter = trying.house, dialect.token_counter
    assert counter is not None, "a dialect with this operation counts"
    endpoint = places[0].provider.endpoint_for(dialect.name)
    places, tags = go_on(house, request, places[:1])
    counted: list[int] = []
    if DIALECTS[endpoint.dialect].token_counter is not None:

        async def once(place: ResolvedTarget, lease: Lease, client: ClientAnswer) -> Usage | None:
            errand = Errand(house, request, client, place, lease, endpoint)
            count = await errand.count_tokens()
            if count is not None:
                counted.append(count)
            return None

        await trying.run(Wanted(caller, request.peek, tags, "count_tokens"), places, once)
    if not counted:
        counted.append(request.input_estimate)
        trying.client.losses = [Loss("estimated", "input_tokens", "the provider does not count; this is a guess")]
    trying.client.send_whole(counter.write_count(counted[0]))
    trying.client.served(None)


async def embed(trying: Trying, request: ClientRequest, places: Sequence[ResolvedTarget], caller: Caller) -> None:
    house, dialect, embedder = trying.house, request.dialect, request.dialect.embedder
    assert embedder is not None, "a dialect with this operation embeds"
    able = [(place, one) for place in places if (one := _embeds(place, dialect.name)) is not None]
    if not able:
        message = f"{places[0].provider.name} has no embeddings; route this model to a provider that has"
        raise Problem(Error(Fault.REQUEST, Kind.UNSUPPORTED, message, "model"))
    endpoints = {place.provider.name: endpoint for place, endpoint in able}

    async def once(place: ResolvedTarget, lease: Lease, client: ClientAnswer) -> Usage | None:
        endpoint = endpoints[place.provider.name]
        return await Errand(house, request, client, place, lease, endpoint).embed(embedder, trying.asker(request))

    await trying.run(Wanted(caller, request.peek), [place for place, _ in able], once)


async def relay(trying: Trying, request: ClientRequest, places: Sequence[ResolvedTarget], caller: Caller) -> None:
    """What only a provider of the client's own dialect can answer goes there as it is."""
    house, dialect = trying.house, request.dialect
    able = [place for place in places if dialect.name in place.provider.endpoints]
    if not able:
        message = f"{places[0].provider.name} does not speak {dialect.name}, and nothing else has this request"
        raise Problem(Error(Fault.REQUEST, Kind.UNSUPPORTED, message, "model"))

    async def once(place: ResolvedTarget, lease: Lease, client: ClientAnswer) -> Usage | None:
        endpoint = place.provider.endpoints[dialect.name]
        body = dialect.rewrite(request.raw, request.outline, place.model, ask_usage=False)
        path = dialect.relay_path(request.path, place.model)
        headers = relayed_headers(request.headers)
        return await Errand(house, request, client, place, lease, endpoint).pass_on(
            trying.incoming, "POST", path, headers, body
        )

    request.peek.text_bytes = len(request.raw)
    await trying.run(Wanted(caller, request.peek), able, once)


async def pass_on(trying: Trying, provider: Provider, path: str) -> None:
    house, incoming = trying.house, trying.incoming
    caller = house.callers.identify(incoming.headers, incoming.query)
    trying.record.caller = caller.name
    if caller.models is not None:
        message = "this key is for certain models only, and what a provider's own API does is not known to name one"
        raise Problem(Error(Fault.REQUEST, Kind.FORBIDDEN, message))
    body = await incoming.read_body()
    endpoint, rest = provider.endpoint_at(path)
    query = "&".join(part for part in incoming.query.split("&") if part and not part.startswith("key="))
    target = rest + (f"?{query}" if query else "")

    async def once(place: ResolvedTarget, lease: Lease, client: ClientAnswer) -> Usage | None:
        headers = relayed_headers(incoming.headers)
        return await Errand(house, None, client, place, lease, endpoint).pass_on(
            incoming, incoming.method, target, headers, body
        )

    # Files and batches belong to the account that made them: one caller meets one account as long as it serves.
    peek = Peek("", stream=False, text_bytes=len(body), affinity=f"pass:{provider.name}:{caller.name}")
    await trying.run(Wanted(caller, peek), [ResolvedTarget(provider, "")], once)


def peek_alone(body: dict[str, Any], path: str) -> Peek:
    """Of a request that is passed on, only where it goes."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise Problem.bad_request("model: required, the name of a model", "model")
    return Peek(model, stream=body.get("stream") is True)


def _embeds(place: ResolvedTarget, dialect: str) -> Endpoint | None:
    """Where `place` embeds: in the client's own dialect if it can, else in the first that can."""
    able = [one for one in place.provider.endpoints.values() if DIALECTS[one.dialect].embedder is not None]
    return next((one for one in able if one.dialect == dialect), able[0] if able else None)
