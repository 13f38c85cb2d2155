"""A whole gateway as one object: for the command line, and for programs that embed it.

    async with ds2api.Gateway(config) as gateway:
        print(gateway.url)          # it serves until the block ends

The rooms are joined here and nowhere else. Runs inside whatever asyncio loop is running (uvloop or not, under
anyio as well); it sets no loop policy, no signal handler and no logging of the program that embeds it.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, TextIO

from ds2api import __version__
from ds2api.accounts import Pool
from ds2api.config import Config, ConfigError
from ds2api.gateway.admission import Admission
from ds2api.gateway.app import App
from ds2api.gateway.callers import Caller, Callers
from ds2api.gateway.catalogue import Catalogue
from ds2api.gateway.house import House
from ds2api.gateway.providers import Provider
from ds2api.gateway.routes import Routes
from ds2api.records import AccessLog, StateFile
from ds2api.stores import Answers, Thoughts
from ds2api.universal.envelope import Sealer
from ds2api.wire.server import Server
from ds2api.wire.settings import Proxies
from ds2api.wire.timers import TimerWheel
from ds2api.wire.upstream import Client

__all__ = ["Gateway"]

# How long running answers may take to finish when the gateway stops: nginx waits for ever, Kubernetes kills
# after 30 s by default; a little less, so that the end is ours.
GRACE_S = 25.0


class Gateway:
    """Serves `config`. Enter it with ``async with``; leaving stops it: listeners close, running answers finish
    within `grace_s`, the rest is cut.

    `log_stream` gets the access log (standard error unless said otherwise). `sockets` are descriptors of sockets that
    listen already, by the addresses of the configuration that they are for. Raises `ConfigError` when it would
    be open to others than this machine without caller keys, and `OSError` when an address cannot be bound.
    """

    def __init__(
        self,
        config: Config,
        *,
        is_open: bool = False,
        log_stream: TextIO | None = None,
        environment: Mapping[str, str] | None = None,
        grace_s: float = GRACE_S,
        sockets: Mapping[str, int] | None = None,
    ) -> None:
        check_exposure(config, is_open=is_open)
        self.config = config
        self.addresses: list[str] = []
        self._is_open = is_open
        self._environment = os.environ if environment is None else environment
        self._log_stream = sys.stderr if log_stream is None else log_stream
        self._grace_s = grace_s
        self._sockets = dict(sockets or {})
        self._is_followed = False
        self._sealing_secret = config.sealing_secret or secrets.token_bytes(32)
        self._answers, self._thoughts = Answers(config.store), Thoughts(config.store)
        self._state: StateFile | None = None
        self._server: Server | None = None
        self._app: App | None = None
        self._refresh: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._stopped = asyncio.Event()

    @property
    def url(self) -> str:
        """Where the first TCP listener answers; the address itself for a unix socket."""
        address = next((one for one in self.addresses if not one.startswith("unix:")), self.addresses[0])
        scheme = "https" if self.config.listen_tls else "http"
        return address if address.startswith("unix:") else f"{scheme}://{address}"

    @property
    def house(self) -> House:
        """The joined rooms. Raises `RuntimeError` outside the ``async with`` block."""
        if self._app is None:
            raise RuntimeError("the gateway is not running: use it inside `async with`")
        return self._app.house

    async def __aenter__(self) -> Gateway:
        loop = asyncio.get_running_loop()
        client = Client(
            limits=self.config.limits,
            timeouts=self.config.timeouts,
            proxies=Proxies.from_environment(self._environment),
        )
        log = AccessLog(self._log_stream, self.config.log, schedule=loop.call_soon)
        admission = Admission(Pool(self.config.accounts, self.config.policy, wall_s=time.time() - loop.time()))
        pool = admission.pool
        state = None if self.config.state_path is None else StateFile(self.config.state_path, log.note)
        if state is not None:
            saved = state.read()
            left_out = pool.restore(saved, admission.now()) if saved else []
            if left_out:
                log.note(f"of the pool's state file {state.path} something was left out: {'; '.join(left_out[:3])}")
        self._app = App(self._build(self.config, client, admission, TimerWheel(loop), Catalogue(), log))
        self._server = Server(
            self._app.handle,
            self._app.refuse,
            limits=self.config.limits,
            timeouts=self.config.timeouts,
            note=log.note,
        )
        try:
            for address in self.config.listen:
                descriptor = self._sockets.pop(address, None)
                bound = await self._server.listen(address, tls=self.config.listen_tls, descriptor=descriptor)
                self.addresses.append(bound)
            for left_over in self._sockets.values():  # the configuration has another address now
                os.close(left_over)
        except BaseException:
            await self._stop()
            raise
        self._refresh = loop.create_task(self._learn_models())
        self._state = state
        self._keep_state()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Tasks of their own, since a cancelled block is cancelled again at each of its awaits under anyio. The first
        # time what runs is cut; and nothing is left behind, however often it comes.
        loop = asyncio.get_running_loop()
        stopping = loop.create_task(self._stop())
        tasks: list[asyncio.Task[Any]] = [stopping]
        cancelled: asyncio.CancelledError | None = None
        while running := [task for task in tasks if not task.done()]:
            try:
                await asyncio.wait(running)
            except asyncio.CancelledError as again:
                if cancelled is None and self._server is not None:
                    tasks.append(loop.create_task(self._server.drain(0.0)))
                cancelled = again
        stopping.result()
        if cancelled is not None:
            raise cancelled

    def reload(self, config: Config) -> list[str]:
        """Serve `config` from now on; what runs finishes as it began. Accounts keep their health. Returns what
        needs a restart to change. Raises `ConfigError` and changes nothing if it may not be served."""
        check_exposure(config, is_open=self._is_open)
        assert self._app is not None
        old, house = self.config, self._app.house
        pending = [
            f"{name}: changes with a restart"
            for name, before, after in (
                ("listen", old.listen, config.listen),
                ("tls", old.listen_tls, config.listen_tls),
                ("limits", old.limits, config.limits),
                ("timeouts of the wire", old.timeouts, config.timeouts),
                ("log", old.log, config.log),
                ("store", old.store, config.store),
                ("pool.state_file", old.state_path, config.state_path),
                ("secret_file", old.sealing_secret, config.sealing_secret),
            )
            if before != after
        ]
        config = replace(config, providers=_sharing_keys(house.providers, config.providers))
        house.admission.replace(config.accounts, config.policy)
        self._app.house = self._build(config, house.client, house.admission, house.wheel, house.catalogue, house.log)
        self.config = config
        if self._refresh is not None:
            self._refresh.cancel()
        self._refresh = asyncio.get_running_loop().create_task(self._learn_models())
        return pending

    async def hand_over(self, start: Callable[[Mapping[str, int]], Awaitable[int]]) -> int:
        """Give the listening sockets to another process. `start` gets them by their addresses, and gives that one's id
        once it serves; what it raises is raised here, and then nothing has changed. Afterwards this gateway accepts
        nothing more, writes its state no more, and ends when the block is left: what runs may go on as long as an
        exchange may last."""
        assert self._server is not None
        await self._state_is_kept()  # what was learned is there before the other one reads it
        try:
            pid = await start(self._server.descriptors())
        except BaseException:
            self._keep_state()
            raise
        self._is_followed = True
        self._server.leave_paths()
        return pid

    def _keep_state(self) -> None:
        if self._state is not None:
            admission = self.house.admission
            self._stopped = asyncio.Event()
            keeping = self._state.keep(lambda: admission.pool.snapshot(admission.now()), self._stopped)
            self._keeper = asyncio.get_running_loop().create_task(keeping)

    async def _state_is_kept(self) -> None:
        if self._keeper is not None:
            self._stopped.set()
            (bug,) = await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None
            if bug is not None:
                self.house.report_bug(bug, "of the pool's state file")

    def _build(
        self,
        config: Config,
        client: Client,
        admission: Admission,
        wheel: TimerWheel,
        catalogue: Catalogue,
        log: AccessLog,
    ) -> House:
        return House(
            config.providers,
            Routes(config.providers, config.routes, catalogue.names),
            Callers(config.callers),
            Callers([(config.admin_hash, Caller("admin"))] if config.admin_hash else []),
            admission,
            client,
            wheel,
            catalogue,
            log,
            config.deadlines,
            config.retries,
            self._answers,
            self._thoughts,
            Sealer(self._sealing_secret),
            f"ds2api/{__version__}",
            browsers=config.browsers,
        )

    async def _learn_models(self) -> None:
        house = self.house
        listings = await house.catalogue.refresh(house.client, house.providers)
        for name, listing in listings.items():
            if listing.problem is not None:
                house.log.note(f"provider {name} told no models: {listing.problem}")

    async def _stop(self) -> None:
        if self._refresh is not None:
            self._refresh.cancel()
            await asyncio.gather(self._refresh, return_exceptions=True)
        if self._app is not None:
            self._app.is_draining = True
        if self._server is not None:
            grace_s = self.config.deadlines.exchange_total_s if self._is_followed else self._grace_s
            cut = await self._server.drain(grace_s, linger_s=self._grace_s if self._is_followed else 0.0)
            if cut:
                self.house.log.note(f"{cut} answers were cut after {grace_s:g} s")
        await self._state_is_kept()
        if self._app is not None:
            house = self._app.house
            house.admission.close()
            house.client.close()
            house.wheel.close()
            house.log.flush()


def _sharing_keys(before: Mapping[str, Provider], after: Mapping[str, Provider]) -> dict[str, Provider]:
    """`after`, where each provider that is at the same place still has one book of keys with the requests that came
    before: one that stands in line may be served by an account that is new. At another place it never may: a key goes
    to its own origin only."""
    shared = {}
    for name, provider in after.items():
        old = before.get(name)
        if old is not None and old.endpoints == provider.endpoints:
            keys = dict(provider.secrets)
            old.secrets.clear()
            old.secrets.update(keys)
            provider = replace(provider, secrets=old.secrets)
        shared[name] = provider
    return shared


def check_exposure(config: Config, *, is_open: bool) -> None:
    """Raise `ConfigError` if `config` would serve the world without asking for a key."""
    if config.is_exposed and not config.callers and not is_open:
        address = ", ".join(config.listen)
        raise ConfigError(
            config.source,
            [
                (
                    f"listen: {address} can be reached from other machines, and no caller key is configured: anyone "
                    "could spend your accounts. Make a key with `ds2api key new NAME` and put what it prints into the "
                    'file, listen on 127.0.0.1, or say "--open" if a firewall or another proxy keeps others out'
                )
            ],
        )
