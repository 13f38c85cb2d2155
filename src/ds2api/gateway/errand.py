"""One try of what is no generation: counting tokens, embedding, passing a request or a whole path on.

Like `Attempt` it is made for one place and one lease and raises `AttemptFailed` for what the provider did wrong; the
exchange tries others. All but `pass_on` answer whole. `pass_on` moves bytes as they come, since nobody here knows
what they say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from ds2api import jsons
from ds2api.accounts import Lease
from ds2api.dialects.contract import Asker, Embedder
from ds2api.gateway.client_answer import ClientAnswer
from ds2api.gateway.client_request import ClientRequest
from ds2api.gateway.contact import ERROR_BODY_BYTES
from ds2api.gateway.failures import AttemptFailed, attempt_failed, connection_failed
from ds2api.gateway.house import House
from ds2api.gateway.providers import Endpoint
from ds2api.gateway.routes import ResolvedTarget
from ds2api.universal.errors import Error, Fault, Kind, Problem
from ds2api.universal.usage import Usage
from ds2api.wire.errors import PeerError
from ds2api.wire.server import Incoming
from ds2api.wire.upstream import Answer

__all__ = ["Errand", "relayed_headers"]

# A count is one number; embeddings of 2,048 inputs with 3,072 floats each are some 130 MB of JSON.
_COUNT_BYTES = 64 * 1024
_EMBEDDINGS_BYTES = 256 * 1024 * 1024

# A client's headers that mean something to a provider's own API and nothing to anybody on the way.
_RELAYED = ("accept", "content-type", "idempotency-key", "if-match", "if-none-match", "range")
_RELAYED_PREFIXES = ("anthropic-", "openai-", "x-stainless-", "x-goog-upload-")
_ANSWERED = ("content-type", "content-disposition", "content-range", "etag", "location", "openai-version")
# What a refused account gets: another may do better. Anything else may have had an effect and is not sent twice.
_ACCOUNT_REFUSED = (401, 402, 403, 429)


def relayed_headers(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """What of a client's head goes on when a path is passed on: never a credential, a cookie or a hop's own field."""
    return [
        (name.lower(), value)
        for name, value in headers.items()
        if name.lower() in _RELAYED or name.lower().startswith(_RELAYED_PREFIXES)
    ]


class Errand:
    """One try of `request` at `place`, on the account of `lease`."""

    def __init__(
        self, house: House, request: ClientRequest | None, answer: ClientAnswer, place: ResolvedTarget, lease: Lease,
        endpoint: Endpoint,
    ) -> None:  # fmt: skip
        self._house = house
        self._request = request
        self._answer = answer
        self._place = place
        self._lease = lease
        self._contact = contact = house.contacts.find(house, place, endpoint, lease.account)
        self._dialect, self._target = contact.dialect, contact.target
        answer.record.account = lease.account.id
        answer.record.upstream_dialect = contact.dialect.name
        answer.record.target = contact.shown_target

    async def count_tokens(self) -> int | None:
        """The provider's own count. None if it has none: a 404 here says nothing about the model (R125)."""
        request, counter = self._asked, self._dialect.token_counter
        if counter is None:
            return None
        if self._dialect is request.dialect and not request.peek.pins and not request.is_replayed:
            body = self._dialect.rewrite(request.raw, request.outline, self._place.model, ask_usage=False)
            headers = self._dialect.relay_headers(request.headers, self._target)
            path = counter.relay_path(request.path, self._place.model)
        else:
            outgoing = counter.write_question(request.universal, self._target)
            body, headers, path = outgoing.body, outgoing.headers, outgoing.path
            self._answer.losses = list(outgoing.losses)
        answer = await self._send(path, headers, body)
        if answer.status in (404, 405, 501):
            answer.close()
            return None
        raw = await self._contact.whole(answer, self._dialect, _COUNT_BYTES)
        try:
            return counter.read_count(jsons.parse_event_object(raw))
        except (Problem, jsons.JsonError) as error:
            raise self._broken(error) from None

    async def embed(self, embedder: Embedder, asker: Asker) -> Usage | None:
        """Vectors for the client, who asked in the words of `embedder`. Raises `Problem` too."""
        request, theirs = self._asked, self._dialect.embedder
        assert theirs is not None
        self._answer.served_by = self._contact.served_by
        is_relay = self._dialect is request.dialect
        self._answer.record.lane = "relay" if is_relay else "translate"
        if is_relay:
            path = embedder.relay_path(request.path, self._place.model)
            body = embedder.rewrite(request.raw, request.body, request.path, self._place.model)
            answer = await self._send(path, (), body)
            raw = await self._contact.whole(answer, self._dialect, _EMBEDDINGS_BYTES)
            self._answer.send_whole(raw)
            return None
        wanted = embedder.read_request(request.body, request.path)
        outgoing = theirs.write_request(wanted, self._target)
        self._answer.losses = list(outgoing.losses)
        answer = await self._send(outgoing.path, outgoing.headers, outgoing.body)
        raw = await self._contact.whole(answer, self._dialect, _EMBEDDINGS_BYTES)
        try:
            embeddings = theirs.read_response(jsons.parse_object(raw))
            if len(embeddings.vectors) != len(wanted.inputs):
                message = f"{len(embeddings.vectors)} vectors came for {len(wanted.inputs)} inputs"
                raise Problem(Error(Fault.PROVIDER, Kind.UPSTREAM_BROKEN, message))
        except (Problem, jsons.JsonError) as error:
            raise self._broken(error) from None
        self._answer.send_whole(embedder.write_response(embeddings, wanted, asker))
        return embeddings.usage

    async def pass_on(
        self, incoming: Incoming, method: str, path: str, headers: Sequence[tuple[str, str]], body: bytes
    ) -> Usage | None:
        """Send the bytes of a request as they are, and the answer's bytes as they come. `path` stands behind the
        endpoint's base."""
        record = self._answer.record
        record.lane = "pass"
        accept = next((value for name, value in headers if name == "accept"), "*/*")
        content_type = next((value for name, value in headers if name == "content-type"), "application/json")
        others = [(name, value) for name, value in headers if name not in ("accept", "content-type")]
        answer = await self._contact.send(
            self._lease, record, path, others, body, accept=accept, method=method, content_type=content_type
        )
        try:
            if 300 <= answer.status < 400 or answer.status in _ACCOUNT_REFUSED:
                raise await self._contact.failure_of(answer, self._dialect)
            kept = [(name, answer.headers[name]) for name in _ANSWERED if name in answer.headers]
            kept = [one for one in kept if one[0] != "location" or not one[1].startswith(("http:", "https:"))]
            kept.append(("x-ds2api-request-id", record.id))
            if answer.status >= 400:
                text = (await answer.read(ERROR_BODY_BYTES)).decode("utf-8", "replace")
                incoming.respond(answer.status, kept, self._contact.without_key(text).encode())
            else:
                await self._move(incoming, answer, kept)
        except PeerError as error:
            raise connection_failed(error, self._place.provider.name) from None
        finally:
            answer.close()
        record.status = answer.status
        return None

    async def _move(self, incoming: Incoming, answer: Answer, headers: list[tuple[str, str]]) -> None:
        """Bytes as they come, at the client's pace."""
        over: asyncio.Future[PeerError | None] = asyncio.get_running_loop().create_future()
        idle_s = self._place.provider.event_idle_s or self._house.deadlines.event_idle_s
        late = PeerError(f"the provider sent nothing for {idle_s:g} seconds (`timeouts.event_idle_s`)", 504, "body")
        incoming.start(answer.status, headers)
        incoming.on_flow(answer.pause, answer.resume)

        def on_data(data: bytes) -> None:
            idle.touch()
            incoming.write(data)

        def on_end(error: PeerError | None) -> None:
            if not over.done():
                over.set_result(error)

        idle = self._house.wheel.after(idle_s, lambda: on_end(late))

        try:
            answer.stream(on_data, on_end)
            error = await over
        finally:
            idle.cancel()
        if error is not None:
            raise connection_failed(error, self._place.provider.name)
        incoming.finish()

    def _send(self, path: str, headers: Sequence[tuple[str, str]], body: bytes) -> Coroutine[Any, Any, Answer]:
        return self._contact.send(self._lease, self._answer.record, path, headers, body)

    @property
    def _asked(self) -> ClientRequest:
        assert self._request is not None, "only `pass_on` goes without a request that was read"
        return self._request

    def _broken(self, error: Problem | jsons.JsonError) -> AttemptFailed:
        if isinstance(error, Problem):
            return attempt_failed(error.error, self._place.provider.name)
        message = f"provider {self._place.provider.name!r} answered with {error}"
        return AttemptFailed(Error(Fault.PROVIDER, Kind.UPSTREAM_BROKEN, message))
