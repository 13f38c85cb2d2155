"""Answers that were given before: requests that go on from one, and questions about one.

Two kinds of provider stand behind an id. One that keeps its answers is asked again, on the account that made them; for
every other one the gateway keeps what was said and puts it in front (`stores.Answers`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

from ds2api import jsons
from ds2api.accounts import Lease
from ds2api.dialects.contract import AnswerKeeper, Peek
from ds2api.gateway.callers import Caller
from ds2api.gateway.client_answer import ClientAnswer
from ds2api.gateway.client_request import ClientRequest
from ds2api.gateway.doors import Door
from ds2api.gateway.errand import Errand, relayed_headers
from ds2api.gateway.house import House
from ds2api.gateway.routes import ResolvedTarget
from ds2api.gateway.trying import Trying, Wanted
from ds2api.stores import StoredAnswer
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.usage import Usage

__all__ = ["go_on", "tell"]


def go_on(
    house: House, request: ClientRequest, places: Sequence[ResolvedTarget]
) -> tuple[Sequence[ResolvedTarget], tuple[str, ...]]:
    """Where a request may go that goes on from an earlier answer, and the accounts that it is bound to. Puts the
    earlier items in front where the gateway kept them. Raises `Problem` if nobody knows them."""
    keeper, caller = request.dialect.answer_keeper, request.caller
    if keeper is None:
        return places, ()
    client_body, previous = request.outline, request.peek.previous_id
    earlier: Sequence[dict[str, Any]] = ()
    tags: tuple[str, ...] = ()
    if previous is not None:
        made_by = house.answers.made_by(caller, previous, house.now())
        stored = house.answers.get(caller, previous, house.now())
        if made_by is not None and any(place.provider.name == made_by[0] for place in places):
            places = [place for place in places if place.provider.name == made_by[0]]
            tags = (made_by[1],)
        elif stored is not None:
            earlier = [*stored.items, *keeper.output_of(stored.answer)]
            request.replay(keeper.replayed(request.body, earlier))
        elif not any(request.dialect.name in place.provider.endpoints for place in places):
            raise Problem(keeper.unknown_previous(previous))
    if house.answers.is_on and keeper.wants_keeping(client_body):

        def keep(answer: dict[str, Any]) -> None:  # of a translated answer, whose request is whole by then
            said = keeper.items_of(client_body, house.new_id)
            stored = StoredAnswer([*earlier, *said], answer)
            house.answers.keep(caller, keeper.id_of(answer), stored, previous, house.now())

        request.keep = keep
    return places, tags


async def tell(trying: Trying, door: Door, caller: Caller) -> None:
    """About an answer that was given before: asked of the provider that keeps it, or told from our own memory."""
    dialect = door.dialect
    house, incoming, client, keeper = trying.house, trying.incoming, trying.client, dialect.answer_keeper
    assert keeper is not None, "a dialect with this operation keeps answers"
    id_, now = door.name, house.now()
    stored = house.answers.get(caller.name, id_, now)
    if stored is not None:
        client.send_whole(_told(trying, keeper, id_, stored, caller))
        client.served(None)
        return
    made_by = house.answers.made_by(caller.name, id_, now)
    natives = [
        provider
        for provider in house.providers.values()
        if dialect.name in provider.endpoints and made_by is not None and provider.name == made_by[0]
    ]
    if not natives or made_by is None:
        raise Problem(_no_answer(id_))
    body = await incoming.read_body()
    place = ResolvedTarget(natives[0], "")
    path = dialect.generate_path + incoming.target[incoming.target.index(f"/{id_}") :]

    async def once(place: ResolvedTarget, lease: Lease, client: ClientAnswer) -> Usage | None:
        endpoint = place.provider.endpoints[dialect.name]
        headers = relayed_headers(incoming.headers)
        return await Errand(house, None, client, place, lease, endpoint).pass_on(
            incoming, incoming.method, path, headers, body
        )

    await trying.run(Wanted(caller, Peek("", stream=False), (made_by[1],)), [place], once)


def _told(trying: Trying, keeper: AnswerKeeper, id_: str, stored: StoredAnswer, caller: Caller) -> bytes:
    """What our own memory says of `stored`."""
    incoming, query = trying.incoming, dict(parse_qsl(trying.incoming.query))
    if incoming.path.endswith("/input_items"):
        return keeper.write_items(stored.items, query)
    if incoming.path.endswith("/cancel"):
        message = f"the answer {id_!r} is complete; only one that runs in the background can be cancelled"
        raise Problem.bad_request(message)
    if incoming.method == "DELETE":
        trying.house.answers.delete(caller.name, id_)
        return keeper.write_deleted(id_)
    if query.get("stream") == "true":
        raise Problem.unsupported("stream: this answer is kept by the gateway, which gives it whole", "stream")
    return jsons.dump(stored.answer)


def _no_answer(id_: str) -> Error:
    message = f"there is no answer {id_[:100]!r} here, or it is too old"
    return Error(Fault.REQUEST, Kind.NOT_FOUND, message)
