"""`instrument()`'s hands: put the metered transports in the way of provider calls, and take them out again.

The seam is the transport that a client picks for a URL. It covers every transport (mounted, proxied, mocked,
in-process) and clients made earlier, it is the same in httpx and httpx2, and any other host pays one set look-up.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any
from weakref import ref

from . import neighbours
from .exceptions import ConfigurationError
from .forks import ForkSafeLock
from .importing import loaded, when_imported
from .transport import LIBRARIES, transports
from .urls import target_of

_SEAM = "_transport_for_url"
_KNOWN = "_payi_transport"
"""Attribute of a client that holds the metered transport that it was given last."""
_lock = ForkSafeLock()
_undo: list[Callable[[], None]] = []
_patched: set[type[Any]] = set()


def patch() -> None:
    """Meter the clients of httpx, httpx2, aiohttp, boto3 and requests, if installed; carry the context into threads.

    Raises:
        ConfigurationError: a library's version has no such seam any more.
    """
    neighbours.look()
    with _lock:
        if _undo:
            return
        for name in LIBRARIES:
            if (module := loaded(name)) is not None:
                _check(module)
        _undo.extend(when_imported(name, _patch_library) for name in LIBRARIES)
        _undo.append(when_imported("aiohttp.client", _patch_aiohttp))
        _undo.append(when_imported("botocore.endpoint", _patch_botocore))
        _undo.append(when_imported("requests.adapters", _patch_requests))
        _undo.append(_carry_into_threads())


def unpatch() -> None:
    """Undo exactly what `patch()` did."""
    with _lock:
        while _undo:
            _undo.pop()()


def _check(module: ModuleType) -> None:
    for name in ("Client", "AsyncClient"):
        if not callable(getattr(getattr(module, name, None), _SEAM, None)):
            raise ConfigurationError(
                module.__name__,
                f"{name} has no {_SEAM} in this version, so provider calls cannot be metered",
                "Install a supported version, or pass transport=PayiTransport(...) to your clients by hand.",
            )


def _patch_library(module: ModuleType) -> Callable[[], None]:
    _check(module)
    clients = zip((module.Client, module.AsyncClient), transports(module), strict=True)
    # httpx2.alias_httpx() makes both libraries the same
    undo = [_patch_client(client, metered) for client, metered in clients if client not in _patched]

    def undo_all() -> None:
        for each in undo:
            each()

    return undo_all


def _patch_client(client: type[Any], metered: type[Any]) -> Callable[[], None]:
    original = getattr(client, _SEAM)
    wanted = [True]

    @wraps(original)
    def transport_for_url(self: Any, url: Any) -> Any:
        transport = original(self, url)
        if not wanted or (target := target_of(url)) is None:
            return transport
        known = vars(self).get(_KNOWN)
        if known is None or known.inner is not transport:  # a client with mounts has several
            known = metered(transport, ref(self), original)
            setattr(self, _KNOWN, known)
        known.latest = url, target  # it is asked for it next, by this thread or another one
        return known

    setattr(client, _SEAM, transport_for_url)
    _patched.add(client)

    def undo() -> None:
        _patched.discard(client)
        wanted.clear()  # who patched after us may call us for ever
        if getattr(client, _SEAM) is transport_for_url:  # someone who patched after us keeps their patch
            setattr(client, _SEAM, original)

    return undo


def _patch_aiohttp(client: ModuleType) -> Callable[[], None]:
    from .aiohttp import patch_session  # of no use to an app without aiohttp

    return patch_session(client)


def _patch_botocore(endpoint: ModuleType) -> Callable[[], None]:
    from .botocore import patch_endpoint  # of no use to an app without botocore

    return patch_endpoint(endpoint)


def _patch_requests(adapters: ModuleType) -> Callable[[], None]:
    from .requests import patch_adapter  # of no use to an app without requests

    return patch_adapter(adapters)


def _carry_into_threads() -> Callable[[], None]:
    from opentelemetry.instrumentation.threading import ThreadingInstrumentor  # 80 ms: not at import

    instrumentor = ThreadingInstrumentor()
    if instrumentor.is_instrumented_by_opentelemetry:
        return lambda: None
    instrumentor.instrument()
    return lambda: instrumentor.uninstrument()
