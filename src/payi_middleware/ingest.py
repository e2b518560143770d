"""The HTTP client of Pay-i's ingest API: https://docs.pay-i.com/reference/requestsingest"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from threading import Lock
from time import monotonic
from typing import Any
from urllib.parse import quote

from .courtesy import considerately
from .delivery import Outcome
from .exceptions import IngestConnectionError, IngestError, IngestRefusedError, IngestTimeoutError
from .forks import uncut
from .granting import Asked
from .headers import API_KEY_HEADER, LOGGING_HEADER, MODULE_HEADER, split_item
from .limits.estimates import Rates, Resource, rates_of_answer
from .report import Item, Report, encoded
from .results import XproxyResult

_PATH = "/api/v1"
_MOST_BYTES = 16 * 1024 * 1024
"""Bytes of the longest answer that is read; one to a full bulk takes one sixteenth of it."""

_AT_THE_END = 1.0
"""Seconds that closing waits for a connection that is just being made."""


class IngestClient:
    """Sends reports, singly or in bulk, over kept-alive connections. One client serves several threads.

    Args:
        base_url: the service's address, without the path.
        api_key: sent as `xProxy-api-key`; None sends none.
        timeout: seconds that one attempt may take, connecting and answering each.
        connections: connections kept alive.

    `tells_results` is told by the first bulk answer: whether it has results in it, which the hosted Pay-i's has not.
    """

    def __init__(self, base_url: str, api_key: str | None, *, timeout: float, connections: int) -> None:
        self._url = base_url.rstrip("/") + _PATH
        self._headers = {} if api_key is None else {API_KEY_HEADER: api_key}
        self._timeout = timeout
        self._connections = connections
        self.tells_results: bool | None = None
        self._leases = True
        self._client: Any = None
        self._library: Any = None
        self._lock = Lock()

    def open(self) -> None:
        """Load the HTTP library; the connection is made by the first report."""
        self._connected()

    def send(self, report: Report) -> XproxyResult:
        """Deliver one report and return Pay-i's result.

        Raises:
            IngestConnectionError: Pay-i could not be reached, or the connection broke.
            IngestTimeoutError: no answer came in time.
            IngestRefusedError: Pay-i refused it.
        """
        split = split_item(report.item)
        if split is None:
            return self._send_in_bulk(report)
        headers, body = split
        if report.module:
            headers[MODULE_HEADER] = report.module
        if not report.log_content:
            headers[LOGGING_HEADER] = "True"
        path = f"/ingest?id={quote(report.provider_response_id, safe='')}"
        return _result(self._request("POST", path, encoded(body), headers))

    def _send_in_bulk(self, report: Report) -> XproxyResult:
        """Send what no header can carry, and fetch the result where the bulk answer does not have it."""
        (outcome,) = self.send_many([report.encoded()])
        if isinstance(outcome, IngestError):
            raise outcome
        return outcome or self.result(report.category, report.provider_response_id)

    @property
    def takes_items(self) -> bool:
        """It takes JSON."""
        return False

    def send_many(self, items: Sequence[Item], *, results: bool = True) -> list[Outcome]:
        """Deliver bulk items and return what became of each: https://docs.pay-i.com/reference/requestsbulkingest

        Args:
            results: ask for them, too.

        Raises:
            IngestConnectionError, IngestTimeoutError: it is not known whether any was accepted.
            IngestRefusedError: Pay-i refused all of them, whatever they are.
        """
        body = b"[" + b",".join([item if isinstance(item, bytes) else encoded(item) for item in items]) + b"]"
        try:
            prefer = {"Prefer": "return=representation"} if results else {}
            answer = self._request("POST", "/ingest/bulk", body, prefer)
            outcomes = _outcomes(answer, len(items))
        except IngestRefusedError as error:
            if not _may_be_for_one(error):
                raise
            if len(items) <= 1:
                return [error] * len(items)
            half = len(items) // 2
            return [*self.send_many(items[:half], results=results), *self.send_many(items[half:], results=results)]
        if results:
            self.tells_results = isinstance(answer.get("results"), list)
        return outcomes

    def result(self, category: str, provider_response_id: str) -> XproxyResult:
        """Fetch the result of a report that was accepted.

        Raises:
            IngestError: it is not to be had.
        """
        names = (quote(name, safe="") for name in (category, provider_response_id))
        return _result(self._request("GET", "/requests/provider/{}/{}/result".format(*names), None, {}))

    def limit(self, limit_id: str) -> Mapping[str, Any]:
        """Return a limit: https://docs.pay-i.com/reference/limitsretrieve

        Raises:
            IngestRefusedError: 404 `limit_not_found`, and other refusals.
            IngestError: it is not to be had.
        """
        answer = self._request("GET", f"/limits/{quote(limit_id, safe='')}", None, {})
        return _object(answer.get("limit"))

    def lease(self, limit_id: str, holder: str, asked: Asked) -> Mapping[str, Any] | None:
        """Ask a service of ours for a part of a limit; None from one that does not share limits out.

        Raises:
            IngestRefusedError: 404 `limit_not_found`, and other refusals.
            IngestError: it is not to be had.
        """
        if not self._leases:
            return None
        body = encoded({"holder": holder, **asked._asdict()})
        try:
            answer = self._request("POST", f"/limits/{quote(limit_id, safe='')}/lease", body, {})
        except IngestRefusedError as error:
            if error.status not in (404, 405) or error.code == "limit_not_found":
                raise
            self._leases = False
            return None
        lease = _object(answer.get("lease"))
        if not all(type(lease.get(name)) is int for name in ("granted", "left")):
            raise IngestConnectionError("the answer has no lease")
        return {"limit": _object(answer.get("limit")), "lease": lease}

    def rates(self, resource: Resource) -> Rates | None:
        """Return a resource's prices, or None if it has none: https://docs.pay-i.com/reference

        Raises:
            IngestError: they are not to be had.
        """
        category, name = (quote(part, safe="") for part in resource)
        try:
            return rates_of_answer(self._request("GET", f"/categories/{category}/resources/{name}?limit=100", None, {}))
        except IngestRefusedError as error:
            if error.status in (400, 404, 405):
                return None
            raise

    def _request(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Mapping[str, Any]:
        client, library = self._connected()
        headers = {**self._headers, **headers, "Content-Type": "application/json"}
        try:
            with client.stream(method, self._url + path, content=body, headers=headers) as response:
                answer = _json(response.status_code, self._body(response))
        except library.TimeoutException as error:
            raise IngestTimeoutError(f"no answer within {self._timeout} s") from error
        except library.TransportError as error:
            raise IngestConnectionError(type(error).__name__) from error
        except (ValueError, library.DecodingError) as error:
            raise IngestConnectionError("the answer is not JSON") from error
        if not isinstance(answer, Mapping):
            raise IngestConnectionError("the answer is not a JSON object")
        if response.status_code != 200 and not 200 < response.status_code < 300:
            raise _refusal(answer, response.status_code, _seconds(response.headers.get("retry-after")))
        return answer

    def _body(self, response: Any) -> bytes:
        """Read an answer, but not one that goes on for ever, as the library's timeout is for each piece of it.

        Raises:
            IngestTimeoutError, IngestConnectionError: it takes too long, or is too long.
        """
        deadline = monotonic() + self._timeout
        body = bytearray()
        for piece in response.iter_bytes():
            body += piece
            if len(body) > _MOST_BYTES:
                raise IngestConnectionError("the answer is too long")
            if monotonic() > deadline:
                raise IngestTimeoutError(f"no whole answer within {self._timeout} s")
        return bytes(body)

    def _connected(self) -> tuple[Any, Any]:
        """Return the client, made at first use, and its library: httpx2 where it is installed, else httpx."""
        with self._lock:
            if self._client is None:
                with uncut:
                    "a".encode("idna")  # has it loaded, which looking up a host's address does otherwise
                    self._library = importlib.import_module("httpx2" if importlib.util.find_spec("httpx2") else "httpx")
                    self._client = self._library.Client(
                        timeout=self._timeout,
                        limits=self._library.Limits(
                            max_connections=self._connections, max_keepalive_connections=self._connections
                        ),
                    )
            return self._client, self._library

    def close(self) -> None:
        """Close the connections; a later report opens new ones."""
        if self._lock.acquire(timeout=_AT_THE_END):
            try:
                if self._client is not None:
                    self._client.close()
                    self._client = None
            finally:
                self._lock.release()


def _json(status: int, body: bytes) -> Any:
    try:
        return json.loads(body) if body else {}
    except (ValueError, RecursionError) as error:
        if status < 300:
            raise ValueError("no JSON") from error
        return {}  # a gateway on the way says no in HTML


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise IngestConnectionError("the answer does not have what was asked for")
    return value


def _outcomes(answer: Mapping[str, Any], count: int) -> list[Outcome]:
    """Read what became of each of the items of a bulk request.

    Raises:
        IngestConnectionError: it is somebody else's answer, or one to other items.
        IngestRefusedError: some item was refused, and the answer does not say which.
    """
    if "ingest_count" not in answer:
        raise IngestConnectionError("the answer is none to bulk items")
    outcomes: list[Outcome] = [None] * count
    try:
        for made in considerately(answer.get("results") or ()):
            outcomes[_place(made["item_index"], count)] = _result(made)
        for failed in answer.get("errors") or ():
            refusal = _refusal(failed.get("xproxy_result") or {}, 400)
            if "item_index" not in failed:
                raise refusal
            outcomes[_place(failed["item_index"], count)] = refusal
    except (LookupError, TypeError, AttributeError) as error:
        raise IngestConnectionError("the answer does not fit the items") from error
    return outcomes


def _place(index: Any, count: int) -> int:
    if not isinstance(index, int) or not 0 <= index < count:
        raise IndexError
    return index


def _result(answer: Mapping[str, Any]) -> XproxyResult:
    try:
        return XproxyResult.model_validate(answer["xproxy_result"])
    except (KeyError, ValueError) as error:
        raise IngestConnectionError("the answer holds no result") from error


def _refusal(answer: Mapping[str, Any], status: int, retry_after: float | None = None) -> IngestRefusedError:
    told, result = answer.get("xproxy_error"), answer.get("xproxy_result")
    error = told if isinstance(told, dict) else {}
    own_status = answer.get("statusCode")
    blocked = (result if isinstance(result, dict) else answer).get("blocked_limit_ids")
    return IngestRefusedError(
        own_status if isinstance(own_status, int) and 400 <= own_status < 600 else status,
        str(error.get("code") or "unknown_error"),
        str(error.get("message") or answer.get("message") or "no message")[:500],
        retry_after=retry_after,
        limit_ids=tuple(map(str, blocked)) if isinstance(blocked, list) else (),
    )


def _may_be_for_one(error: IngestRefusedError) -> bool:
    """Return whether a bulk request may have been refused for one of its items, or for their number."""
    return error.status in (400, 413, 422)


def _seconds(retry_after: str | None) -> float | None:
    """Read `Retry-After` (RFC 9110 section 10.2.3): seconds, or a date."""
    if not retry_after:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, (moment - datetime.now(moment.tzinfo)).total_seconds())
