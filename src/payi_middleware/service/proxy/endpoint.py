"""`/api/v1/proxy/...`: what is looked at before a call is passed on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from starlette.responses import Response

from payi_middleware.providers import Match, read_request
from payi_middleware.service.accounts import admission
from payi_middleware.service.accounts.events import Event
from payi_middleware.service.api.bodies import answer, read_body
from payi_middleware.service.api.models.events import ProxyHeaders
from payi_middleware.service.api.routing import ANY, Route, Told, raw_segments
from payi_middleware.service.api.service import Call
from payi_middleware.service.errors import LedgerError, ServiceError

from .annotating import Annotated, annotated
from .asking import asking, decoded
from .families import FAMILIES, Family, family_of
from .forwarding import forwarded, signed_names
from .metering import Metering, checked_event
from .outgoing import Outgoing
from .passing import Passing
from .recognising import recognised
from .settling import Settlement, book
from .targets import BASE_URI, Target, as_signed

__all__ = ["ELSEWHERE", "ROUTES"]

_ROOT = "/api/v1/proxy"
_DEPTH = _ROOT.count("/")
_BEGINNING = frozenset({"POST", "PUT", "PATCH"})
_IDENTITY = (b"accept-encoding", b"identity")


@dataclass(frozen=True, slots=True)
class _Request:
    """A request to a provider, before it is known whether it may be made."""

    call: Call
    method: str
    headers: Mapping[str, str]
    family: Family
    target: Target
    said: Annotated


async def proxy(call: Call) -> Response:
    """Pass a call on to a provider, if its limits let it."""
    request = _read(call)
    match = recognised(request.family, request.target, request.method, request.headers)
    if match is None:
        return await _pass_unmetered(request)
    return await _pass_metered(request, match)


def _read(call: Call) -> _Request:
    scope = call.request.scope
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    found = family_of(raw_segments(scope)[_DEPTH:])
    if found is None:
        known = ", ".join(f"{_ROOT}/{'/'.join(family.path)}" for family in FAMILIES)
        raise ServiceError(404, "request_processing_error", f"there is no provider at this path; there are {known}")
    family, rest = found
    if family.signed:
        rest = as_signed(rest, headers.get("user-agent", ""))
    query = scope["query_string"].decode("latin-1")
    target = call.service.hosts.target(family, headers.get(BASE_URI.lower()), rest, query)
    return _Request(call, call.request.method, headers, family, target, annotated(headers))


async def _pass_metered(request: _Request, match: Match) -> Response:
    """Pass an inference on, and meter what it uses."""
    call, target = request.call, request.target
    headers = forwarded(call.request.scope["headers"], whole=False)
    maximum = call.service.config.max_proxied_body
    body = await read_body(call.request, maximum)
    plain = decoded(body, request.headers.get("content-encoding"), maximum)
    asked = read_request(match, plain)
    planned = checked_event(request.said, match.category, match.resource(asked.model) if asked.model else None)
    if blocked_by := await _blocked_by(request, planned, begins=request.method == "POST"):
        return await _refuse(request, planned, blocked_by)
    asks = asking(
        plain,
        asked,
        family=request.family,
        target=target,
        match=match,
        headers=request.headers,
        upstream=call.service.upstream,
    )
    sent = asks.body
    if asks.taken_out:
        headers = [(name, value) for name, value in headers if name != b"content-encoding"]
    else:
        sent = body
    if "accept-encoding" in signed_names(request.headers):
        headers.append((b"accept-encoding", request.headers["accept-encoding"].encode("latin-1")))
    else:
        headers.append(_IDENTITY)
    keep = request.said.keep_content
    kept = plain if (call.service.config.log_content if keep is None else keep) else None
    metering = Metering(match, asked, request.said, planned, target.address, kept)
    outgoing = Outgoing(request.method, target, headers, sent, asks.taken_out, asks.fallback)
    return Passing(call.service.upstream, outgoing, metering, Settlement(call, metering), streams=asked.stream)


async def _pass_unmetered(request: _Request) -> Response:
    """Pass a request on that is no inference, such as the upload of a file: its body and its answer as they are."""
    call = request.call
    planned = checked_event(request.said, request.family.category, None)
    begins = request.method in _BEGINNING and not request.target.path.endswith("/cancel")
    if blocked_by := await _blocked_by(request, planned, begins=begins):
        return await _refuse(request, planned, blocked_by)
    headers = forwarded(call.request.scope["headers"], whole=True)
    if (accepted := request.headers.get("accept-encoding")) is not None:
        headers.append((b"accept-encoding", accepted.encode("latin-1")))
    body: bytes | AsyncIterator[bytes] = b""
    if "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0":
        body = call.request.stream()
    return Passing(call.service.upstream, Outgoing(request.method, request.target, headers, body))


async def _blocked_by(request: _Request, planned: Event, *, begins: bool) -> tuple[str, ...]:
    """Return the limits that refuse a request. One that only looks, or that ends something, spends nothing."""
    if not planned.limit_ids and not (planned.use_case_name and planned.use_case_id):
        return ()
    refusing = await request.call.read(
        admission.refusing, planned.limit_ids, planned.use_case_name, planned.use_case_id
    )
    return refusing if begins else ()


async def _refuse(request: _Request, planned: Event, blocked_by: tuple[str, ...]) -> Response:
    """Book a request that its limits refuse, and say so: https://docs.pay-i.com/docs/handling-errors"""
    refusal = ServiceError(400, "limit_reached", f"a limit has been reached: {', '.join(blocked_by)}")
    try:
        result = await book(request.call, replace(planned, blocked_by=blocked_by))
    except LedgerError:  # refused all the same
        result = {"blocked_limit_ids": list(blocked_by)}
    response = answer(refusal.body() | {"xproxy_result": result}, refusal.status)
    if request.family.signed:
        response.headers["x-amzn-errortype"] = refusal.code  # where AWS's SDKs look for it
    return response


_TOLD = Told(passes_on=True, headers=ProxyHeaders)

ROUTES = tuple(Route(ANY, "/".join((_ROOT, *family.path, "{*}")), proxy, answer=Any, told=_TOLD) for family in FAMILIES)
ELSEWHERE = Route(ANY, f"{_ROOT}/{{*}}", proxy)
"""Refuses what is none of these, with a message that names them."""
