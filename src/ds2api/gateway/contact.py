"""How a place is reached with one account's key: what is said to it, and what a refusal of it says.

A `Contact` is made once for each (place, account) and kept as long as the configuration and the key hold, since nearly
all that a request says depends on these two: its head is written once (`Client.outline`) and sent with each body.

The only place where a request of the gateway's leaves: origin and key are the endpoint's own, and nothing that a
client sent decides where to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ds2api.accounts import Account, Lease, read_announced
from ds2api.dialects.contract import Dialect
from ds2api.dialects.masking import masked
from ds2api.dialects.registry import DIALECTS
from ds2api.gateway.failures import AttemptFailed, connection_failed, redirect_error
from ds2api.gateway.providers import Endpoint
from ds2api.gateway.routes import ResolvedTarget
from ds2api.gateway.secret import Secret
from ds2api.records import ExchangeRecord
from ds2api.universal.errors import Error, Fault, Kind
from ds2api.wire.errors import PeerError
from ds2api.wire.upstream import Answer, Outline

if TYPE_CHECKING:
    from ds2api.gateway.house import House

__all__ = ["ERROR_BODY_BYTES", "Contact", "Contacts"]

# Of an error answer: enough for any JSON error seen (Azure's content filter, 6 KB), not for a page of HTML.
ERROR_BODY_BYTES = 256 * 1024
# Nothing that a provider means is longer (`pool.announced_most_s`); told to a client, it would be a wait for ever.
_WAIT_MOST_S = 86_400.0
# Some 10 MB. Where there are more accounts and models in use, they are made anew (20 µs).
_CONTACTS_MOST = 4_096
# Heads that clients of one kind make an account's requests have; betas and the like come from theirs.
_OUTLINES_MOST = 16


class Contact:
    """A model of `provider`, reached at `endpoint` with the key of `account`."""

    __slots__ = (
        "_credential", "_house", "_outlines", "account", "dialect", "endpoint", "provider", "secret", "served_by",
        "shown_target", "target",
    )  # fmt: skip

    def __init__(self, house: House, place: ResolvedTarget, endpoint: Endpoint, account: Account) -> None:
        self._house = house
        self.provider = place.provider
        self.endpoint = endpoint
        self.account = account
        self.dialect: Dialect = DIALECTS[endpoint.dialect]
        self.target = place.target(endpoint.flavour, account.tag, house.sealer)
        self.shown_target = f"{place.provider.name}/{place.model}"
        self.served_by = _served_by(place.provider.name, place.model, account.id)
        # Held from the beginning: a new configuration may take the key away while the provider still repeats it.
        self.secret: Secret | None = place.provider.secrets.get(account.id)
        self._credential = endpoint.credential(self.secret)
        self._outlines: dict[tuple[Any, ...], Outline] = {}

    async def send(
        self,
        lease: Lease,
        record: ExchangeRecord,
        path: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        *,
        accept: str = "application/json",
        method: str = "POST",
        content_type: str = "application/json",
    ) -> Answer:
        """Send it; gives the answer's head. `path` stands behind the endpoint's base. Raises `AttemptFailed`."""
        house, provider = self._house, self.provider
        if self.account.id not in provider.secrets:  # it stood in line, and its URL is no more
            message = "the gateway's configuration changed while this request waited; send it again"
            raise AttemptFailed(Error(Fault.GATEWAY, Kind.INTERNAL, message))
        said = content_type if body or method == "POST" else None
        key = (path, accept, method, said, *headers)
        outline = self._outlines.get(key)
        if outline is None:
            outline = self._outline(key, path, headers, accept, method, said)
        try:
            answer = await house.client.send_body(outline, body, provider.first_byte_idle_s)
        except PeerError as error:
            raise connection_failed(error, provider.name) from None
        record.upstream_id = _upstream_id(answer)
        if answer.status < 300:
            # At the head: what an answer says of the limits is true when it begins, and old when it ends.
            house.admission.hear(lease, read_announced(answer.headers, house.wall()))
        return answer

    def _outline(
        self, key: tuple[Any, ...], path: str, headers: Sequence[tuple[str, str]], accept: str, method: str,
        content_type: str | None,
    ) -> Outline:  # fmt: skip
        endpoint, house = self.endpoint, self._house
        own = [("accept", accept), ("accept-encoding", "identity"), ("user-agent", house.user_agent)]
        if content_type is not None:
            own.insert(0, ("content-type", content_type))
        target = endpoint.target(path, self.target.model)
        fields = [*own, *headers, *endpoint.headers, *self._credential]
        outline = house.client.outline(endpoint.origin, method, target, fields)
        if len(self._outlines) >= _OUTLINES_MOST:
            self._outlines.clear()
        self._outlines[key] = outline
        return outline

    async def failure_of(self, answer: Answer, dialect: Dialect) -> AttemptFailed:
        """What the provider's error answer says, in the words of `dialect`. Closes nothing."""
        if answer.status < 400:
            return AttemptFailed(redirect_error(answer.status, self.provider.name))
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
            raise connection_failed(error, self.provider.name) from None
        finally:
            answer.close()


class Contacts:
    """Those of one configuration, found again. They hold keys, and are forgotten with it."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str, str, str], Contact] = {}

    def find(self, house: House, place: ResolvedTarget, endpoint: Endpoint, account: Account) -> Contact:
        """The one for this place and account, with the key of now."""
        provider = place.provider
        key = (provider.name, place.model, place.losses, endpoint.dialect, account.id)
        known = self._known.get(key)
        if known is not None and known.account is account and known.secret is provider.secrets.get(account.id):
            return known
        if len(self._known) >= _CONTACTS_MOST:
            self._known.clear()
        contact = self._known[key] = Contact(house, place, endpoint, account)
        return contact


def _served_by(provider: str, model: str, account_id: str) -> str:
    """Who answers, for the client's `x-ds2api-served-by`: names that the operator gave, and the model's, which a client
    may have written."""
    place, account = (
        quote(one[:200], safe="/:.-_@+ ")
        for one in (f"{provider}/{model[:200]}", account_id.removeprefix(f"{provider}/"))
    )
    return f"{place}; account={account}"


def _upstream_id(answer: Answer) -> str:
    """The provider's own request id, for its support and for the client's log; only if it is plain text."""
    headers: Any = answer.headers
    found = headers.get("x-request-id") or headers.get("request-id") or headers.get("x-generation-id") or ""
    return found[:200] if found.isascii() and found.isprintable() else ""
