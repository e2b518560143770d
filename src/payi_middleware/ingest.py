"""The HTTP client of Pay-i's ingest API: https://docs.pay-i.com/reference/requestsingest"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Mapping
from threading import Lock
from typing import Any
from urllib.parse import quote

from .exceptions import IngestConnectionError, IngestRefusedError, IngestTimeoutError
from .headers import API_KEY_HEADER, LOGGING_HEADER, MODULE_HEADER, split_item
from .report import Report
from .results import XproxyError, XproxyResult

_PATH = "/api/v1"


class IngestClient:
    """Sends reports, one a request, over kept-alive connections. One client serves several threads.

    Args:
        base_url: the service's address, without the path.
        api_key: sent as `xProxy-api-key`; None sends none.
        timeout: seconds that one attempt may take, connecting and answering each.
        connections: connections kept alive.
    """

    def __init__(self, base_url: str, api_key: str | None, *, timeout: float, connections: int) -> None:
        self._url = base_url.rstrip("/") + _PATH
        self._headers = {} if api_key is None else {API_KEY_HEADER: api_key}
        self._timeout = timeout
        self._connections = connections
        self._client: Any = None
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
        return _result(self._request("POST", path, body, headers))

    def _send_in_bulk(self, report: Report) -> XproxyResult:
        """Send what no header can carry, and fetch the result, which a bulk answer does not have."""
        answer = self._request("POST", "/ingest/bulk", [dict(report.item)], {"Prefer": "return=representation"})
        for failed in answer.get("errors") or ():
            raise _refusal(failed.get("xproxy_result") or {}, 400)
        for made in answer.get("results") or ():
            return _result(made)
        category, response_id = quote(report.category, safe=""), quote(report.provider_response_id, safe="")
        return _result(self._request("GET", f"/requests/provider/{category}/{response_id}/result", None, {}))

    def _request(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Mapping[str, Any]:
        client, library = self._connected()
        content = None if body is None else _encoded(body)
        try:
            response = client.request(
                method,
                self._url + path,
                content=content,
                headers={**self._headers, **headers, "Content-Type": "application/json"},
            )
            answer = _json(response)
        except library.TimeoutException as error:
            raise IngestTimeoutError(f"no answer within {self._timeout} s") from error
        except library.TransportError as error:
            raise IngestConnectionError(type(error).__name__) from error
        except (ValueError, library.DecodingError) as error:
            raise IngestConnectionError("the answer is not JSON") from error
        if not isinstance(answer, Mapping):
            raise IngestConnectionError("the answer is not a JSON object")
        if response.status_code != 200 and not 200 < response.status_code < 300:
            raise _refusal(answer, response.status_code)
        return answer

    def _connected(self) -> tuple[Any, Any]:
        """Return the client, made at first use, and its library: httpx2 where it is installed, else httpx."""
        with self._lock:
            library = importlib.import_module("httpx2" if importlib.util.find_spec("httpx2") else "httpx")
            if self._client is None:
                self._client = library.Client(
                    timeout=self._timeout,
                    limits=library.Limits(
                        max_connections=self._connections, max_keepalive_connections=self._connections
                    ),
                )
            return self._client, library

    def close(self) -> None:
        """Close the connections; a later report opens new ones."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None


def _encoded(body: Any) -> bytes:
    # Half a surrogate pair has no UTF-8 form: JSON's own escape does.
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def _json(response: Any) -> Any:
    try:
        return response.json() if response.content else {}
    except ValueError:
        if response.status_code < 300:
            raise
        return {}  # a gateway on the way says no in HTML


def _result(answer: Mapping[str, Any]) -> XproxyResult:
    try:
        return XproxyResult.model_validate(answer["xproxy_result"])
    except (KeyError, ValueError) as error:
        raise IngestConnectionError("the answer holds no result") from error


def _refusal(answer: Mapping[str, Any], status: int) -> IngestRefusedError:
    error = answer.get("xproxy_error")
    known = XproxyError.model_construct(**error) if isinstance(error, dict) else XproxyError()
    own_status = answer.get("statusCode")
    return IngestRefusedError(
        own_status if isinstance(own_status, int) else status,
        str(known.code),
        str(known.message or answer.get("message") or "no message")[:500],
    )
