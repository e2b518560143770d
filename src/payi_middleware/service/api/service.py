"""What the endpoints work with: the ledger, the clerk who books for it, and the request at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

from anyio.to_thread import run_sync
from sqlalchemy import Connection
from starlette.requests import Request

from payi_middleware.service.accounts.booking import Booked, Outcome
from payi_middleware.service.accounts.events import Event
from payi_middleware.service.bookkeeper import Bookkeeper
from payi_middleware.service.clerk import Clerk
from payi_middleware.service.config import ServiceConfig
from payi_middleware.service.errors import LedgerError, ServiceError
from payi_middleware.service.ledger import Ledger
from payi_middleware.service.metrics import Metrics
from payi_middleware.service.proxy.targets import Hosts
from payi_middleware.service.proxy.upstream import Upstream

from .bodies import read_json
from .keyring import Keyring
from .reading import Body, Query, read_body_as, read_query_as
from .routing import Route

__all__ = ["Call", "Service", "read"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Service:
    """A ledger that is served.

    Args:
        ledger: of any application in its database.
        keyring: tells which application a request is for.
        config: how the service behaves.

    Raises:
        ConfigurationError: a setting of `config` is wrong.
    """

    def __init__(self, ledger: Ledger, keyring: Keyring, config: ServiceConfig) -> None:
        self.ledger = ledger
        self.keyring = keyring
        self.config = config
        self.clerk = Clerk(ledger, booked=self._count)
        self.bookkeeper = Bookkeeper(ledger)
        self.hosts = Hosts(config.allowed_hosts)
        self.upstream = Upstream(config.provider_timeout)
        self.owing: set[Callable[[], None]] = set()
        """What has to be called before the clerk goes, so that nothing that is owed is lost."""
        self.metrics = Metrics(lambda: self.clerk.waiting, self._unfolded)

    def _count(self, outcomes: Sequence[Outcome]) -> None:
        refused = sum(isinstance(outcome, ServiceError) for outcome in outcomes)
        repeated = sum(isinstance(outcome, Booked) and outcome.repeated for outcome in outcomes)
        self.metrics.booked(booked=len(outcomes) - refused - repeated, repeated=repeated, refused=refused)

    def _unfolded(self) -> int | None:
        try:
            return self.ledger.unfolded()
        except LedgerError:
            return None

    async def call(self, request: Request) -> Call:
        """Return a request of an application whose key it has.

        Raises:
            ServiceError: 401 `invalid_api_key`.
        """
        application_id = await self.keyring.application_of(request.headers)
        return Call(self, request, self.ledger.of(application_id))

    def open_call(self, request: Request) -> Call:
        """Return a request that needs no key."""
        return Call(self, request, self.ledger)

    def start(self) -> None:
        """Begin to add up for the dashboard."""
        self.bookkeeper.start()

    async def leave(self) -> None:
        """Break off the calls to providers, and leave what they have used to the clerk."""
        for owed in list(self.owing):
            owed()
        await self.upstream.aclose()

    def close(self) -> None:
        """Book what has come in, and end; the ledger stays open."""
        self.clerk.close()
        self.bookkeeper.close()


@dataclass(frozen=True, slots=True)
class Call:
    """A request to the service, and the books of the application that it is for."""

    service: Service
    request: Request
    ledger: Ledger

    async def json(self) -> Any:
        """Return the request's JSON body; None where there is none.

        Raises:
            ServiceError: 413, it is too large; 400 `invalid_json`.
        """
        return await read_json(self.request, self.service.config.max_body)

    async def read(
        self, function: Callable[Concatenate[Connection, int, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Call a function of `accounts` with a connection for reading and the application's id, on another thread."""
        return await run_sync(partial(self.ledger.read, function, *args, **kwargs))

    async def write(
        self, function: Callable[Concatenate[Connection, int, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Call a function of `accounts` with a transaction that may write, on another thread."""
        return await run_sync(partial(self.ledger.write, function, *args, **kwargs))

    async def book(self, events: Sequence[Event]) -> list[Outcome]:
        """Book requests, together with whatever comes in at the same time."""
        return await self.service.clerk.book(self.ledger.application_id, events)


async def read(route: Route, call: Call) -> list[Query | Body]:
    """Return the query and the body of a request, as far as its endpoint has models of them.

    Raises:
        ServiceError: 400, 413: one of them is wrong.
    """
    told: list[Query | Body] = []
    if route.query is not None:
        told.append(read_query_as(route.query, call.request.query_params))
    if route.body is not None:
        told.append(read_body_as(route.body, await call.json()))
    return told
