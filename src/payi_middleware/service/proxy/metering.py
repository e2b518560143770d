"""What a call through us has used: from the bytes of its answer to the event that is booked."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import perf_counter, time
from typing import Any

from payi_middleware.annotations import Annotations
from payi_middleware.providers import Answer, Asked, Match, Reader, open_reader
from payi_middleware.report import Content, Observed, Timing, build_report
from payi_middleware.service.accounts.events import Event, parse_event
from payi_middleware.service.errors import ServiceError
from payi_middleware.service.store import clock

from .annotating import Annotated
from .splicing import payloads

__all__ = ["Metering", "checked_event"]

_LEFT = "ClientDisconnect"
_AMAZON_ID = "x-amzn-requestid"
"""What boto3 shows as the response's `RequestId`: most answers of Bedrock have no id of their own."""
_KEPT_CONTENT = 1024 * 1024
"""Bytes of a prompt, and of an answer, that are kept where they are kept at all."""


def made_up_id() -> str:
    """Return an id for a response that its provider gave none, or none that tells it from others."""
    return f"payi_{uuid.uuid4()}"


def checked_event(said: Annotated, category: str, resource: str | None) -> Event:
    """Return a call as it would be booked if it used nothing, so that what is wrong with it is known beforehand.

    Raises:
        ServiceError: 400, the first thing that is wrong with it.
    """
    item = {
        **said.item,
        "category": said.price_as_category or category,
        "resource": said.price_as_resource or resource,
        "units": {},
        "provider_response_id": made_up_id(),
    }
    return parse_event(item, clock.now(), proxied=True)


@dataclass(slots=True)
class _Moments:
    """When what came, in seconds of `perf_counter`."""

    begun: float
    first_token: float | None = None
    first_completion: float | None = None
    ended: float | None = None


class Metering:
    """Meter one call.

    Args:
        match: which API of which provider it calls.
        asked: what its body asks for.
        said: what its headers say.
        planned: the event that it would be if it used nothing.
        uri: the provider's address, without the query.
        request: the prompt, if it is to be kept.
    """

    def __init__(
        self, match: Match, asked: Asked, said: Annotated, planned: Event, uri: str, request: bytes | None
    ) -> None:
        self.match = match
        self._asked = asked
        self._said = said
        self._planned = planned
        self._uri = uri
        self._request = request
        self._response: list[bytes] | None = None if request is None else []
        self._kept = 0
        self._started = datetime.fromtimestamp(time(), UTC)
        self._moments = _Moments(perf_counter())
        self._reader: Reader | None = None
        self._status: int | None = None
        self._response_id = planned.provider_response_id
        self._failure: str | None = None
        self._complete = False
        self._answer: Answer | None = None

    def respond(self, status: int, headers: Mapping[str, str], *, decoded: bool = True) -> None:
        """Take the answer's status and headers.

        Args:
            decoded: the body is fed without its content encoding.
        """
        self._status = status
        if self.match.api.startswith("bedrock."):
            self._response_id = headers.get(_AMAZON_ID) or self._response_id
        if decoded:
            headers = {name: value for name, value in headers.items() if name != "content-encoding"}
        self._reader = open_reader(self.match, status, headers)

    def see(self, chunk: bytes) -> bool:
        """Read a piece of the answer; return True if the provider's last event was in it."""
        reader = self._reader
        if reader is None:
            return False
        ended = reader.feed(chunk)
        moments = self._moments
        if moments.first_completion is None:
            if moments.first_token is None and reader.first_token:
                moments.first_token = perf_counter()
            if reader.first_completion:
                moments.first_completion = perf_counter()
        if self._response is not None and self._kept < _KEPT_CONTENT:
            self._response.append(chunk)
            self._kept += len(chunk)
        self._complete |= ended
        return ended

    def complete(self) -> None:
        """Note that the answer came to its end."""
        self._complete = True

    def fail(self, kind: str) -> None:
        """Note that the answer did not come, or broke off; `kind` names the error."""
        self._failure = kind

    @property
    def is_inference(self) -> bool:
        """Whether the answer is that of an inference, and not that of asking for one that was counted elsewhere."""
        return self._answered().inference

    def _answered(self) -> Answer:
        if self._answer is None:
            self._moments.ended = perf_counter()
            self._answer = Answer() if self._reader is None else self._reader.finish()
        return self._answer

    def event(self) -> Event:
        """Return what is booked, once no more is seen."""
        observed = Observed(
            match=self.match,
            asked=self._asked,
            answer=self._answered(),
            status=self._status,
            timing=self._timing(),
            failure=self._failure or (_LEFT if self._status is None else None),
            ended_early=self._failure is None and not self._complete,
            provider_uri=self._uri,
            content=self._content(),
        )
        priced = Annotations(
            price_as_category=self._said.price_as_category, price_as_resource=self._said.price_as_resource
        )
        item = dict(build_report(observed, priced, fallback_id=self._response_id).item)
        item["properties"] = {**item.get("properties", {}), **self._said.item.get("properties", {})}
        item = {**item, **{name: value for name, value in self._said.item.items() if name != "properties"}}
        return self._parsed(item)

    def _parsed(self, item: dict[str, Any]) -> Event:
        try:
            return parse_event(item, clock.now(), proxied=True)
        except ServiceError as error:  # no answer of a provider may keep its call from being booked
            properties = {**self._planned.properties, "system.usage.missing": f"it cannot be stored: {error.message}"}
            return replace(self._planned, http_status_code=self._status, properties=properties)

    def _timing(self) -> Timing:
        moments = self._moments
        since = (
            None if moment is None else round((moment - moments.begun) * 1000)
            for moment in (moments.ended, moments.first_token, moments.first_completion)
        )
        return Timing(self._started, *since)

    def _content(self) -> Content | None:
        if self._response is None:
            return None
        request = (self._request or b"")[:_KEPT_CONTENT].decode("utf-8", "replace")
        text = b"".join(self._response)[:_KEPT_CONTENT].decode("utf-8", "replace")
        lines = [line.removeprefix("data:").strip() for line in text.splitlines() if line.startswith("data:")]
        return Content(request or None, payloads(b"".join(self._response)) or lines or text or None)
