"""One request to a provider with a leased account's key, and what a refusal of it says.

The only place where a request of the gateway's leaves: origin and key are the endpoint's own, and nothing that a
client sent decides where to.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from ds2api.accounts import Lease, read_announced
from ds2api.dialects.contract import Dialect
from ds2api.dialects.masking import masked
from ds2api.gateway.failures import AttemptFailed, connection_failed, redirect_error
from ds2api.gateway.house import House
from ds2api.gateway.providers import Endpoint, Provider
from ds2api.gateway.routes import ResolvedTarget
from ds2api.records import ExchangeRecord
from ds2api.universal.errors import Error, Fault, Kind
from ds2api.wire.errors import PeerError
from ds2api.wire.upstream import Answer

__all__ = ["ERROR_BODY_BYTES", "Call", "served_by"]

# Of an error answer: enough for any JSON error seen (Azure's content filter, 6 KB), not for a page of HTML.
ERROR_BODY_BYTES = 256 * 1024
# Nothing that a provider means is longer (`pool.announced_most_s`); told to a client, it would be a wait for ever.
_WAIT_MOST_S = 86_400.0


class Call:
    """What an attempt at `endpoint` on the account of `lease` says and hears."""

    __slots__ = ("_credential", "_house", "_lease", "_provider", "_record", "endpoint")

    def __init__(
        self, house: House, provider: Provider, endpoint: Endpoint, lease: Lease, record: ExchangeRecord
    ) -> None:
        self._house = house
        self._provider = provider
        self._lease = lease
        self._record = record
        self.endpoint = endpoint
        # Held from the beginning: a new configuration may take the key away while the provider still repeats it.
        self._credential = endpoint.credential(provider.secrets.get(lease.account.id))

    async def send(
        self,
        path: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        *,
        model: str = "",
        accept: str = "application/json",
        method: str = "POST",
        content_type: str = "application/json",
    ) -> Answer:
        """Send it; gives the answer's head. `path` stands behind the endpoint's base. Raises `AttemptFailed`."""
        endpoint = self.endpoint
        if self._lease.account.id not in self._provider.secrets:  # it stood in line, and its URL is no more
            message = "the gateway's configuration changed while this request waited; send it again"
            raise AttemptFailed(Error(Fault.GATEWAY, Kind.INTERNAL, message))
        own = [("accept", accept), ("accept-encoding", "identity"), ("user-agent", self._house.user_agent)]
        if body or method == "POST":
            own.insert(0, ("content-type", content_type))
        try:
            answer = await self._house.client.send(
                endpoint.origin,
                method,
                endpoint.target(path, model),
                [
                    *own,
                    *headers,
                    *endpoint.headers,
                    *self._credential,
                ],
                body,
                first_byte_idle_s=self._provider.first_byte_idle_s,
            )
        except PeerError as error:
            raise connection_failed(error, self._provider.name) from None
        self._record.upstream_id = _upstream_id(answer)
        if answer.status < 300:
            # At the head: what an answer says of the limits is true when it begins, and old when it ends.
            self._house.admission.hear(self._lease, read_announced(answer.headers, self._house.wall()))
        return answer

    async def failure_of(self, answer: Answer, dialect: Dialect) -> AttemptFailed:
        """What the provider's error answer says, in the words of `dialect`. Closes nothing."""
        if answer.status < 400:
            return AttemptFailed(redirect_error(answer.status, self._provider.name))
        try:
            body = await answer.read(ERROR_BODY_BYTES)
        except PeerError:
            body = b""  # the status says enough
        announced = read_announced(answer.headers, self._house.wall())
        error = dialect.read_error(answer.status, answer.headers, body)
        wait_s = announced.retry_after_s if error.retry_after_s is None else error.retry_after_s
        error = error.with_(retry_after_s=None if wait_s is None else min(wait_s, _WAIT_MOST_S))
        return AttemptFailed(error, announced)

    def without_key(self, text: str) -> str:
        """`text` of the provider's, with the account's own key taken out whatever it looks like, and all that looks
        like one."""
        for _, shown in self._credential:
            text = text.replace(shown.removeprefix("Bearer "), "[…]")
        return masked(text)

    async def whole(self, answer: Answer, dialect: Dialect, limit_bytes: int | None = None) -> bytes:
        """The body of an answer that went well; the connection is done with. Raises `AttemptFailed`."""
        try:
            if answer.status >= 300:
                raise await self.failure_of(answer, dialect)
            return await answer.read(limit_bytes)
        except PeerError as error:
            raise connection_failed(error, self._provider.name) from None
        finally:
            answer.close()


def served_by(place: ResolvedTarget, lease: Lease) -> str:
    """Who answers, for the client's `x-ds2api-served-by`: names that the operator gave, and the model's, which a client
    may have written."""
    return _served_by(place.provider.name, place.model[:200], lease.account.id)


@lru_cache(1024)
def _served_by(provider: str, model: str, account_id: str) -> str:
    place, account = (
        quote(one[:200], safe="/:.-_@+ ") for one in (f"{provider}/{model}", account_id.removeprefix(f"{provider}/"))
    )
    return f"{place}; account={account}"


def _upstream_id(answer: Answer) -> str:
    """The provider's own request id, for its support and for the client's log; only if it is plain text."""
    headers: Any = answer.headers
    found = headers.get("x-request-id") or headers.get("request-id") or headers.get("x-generation-id") or ""
    return found[:200] if found.isascii() and found.isprintable() else ""
