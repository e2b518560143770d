"""Sending a call of boto3's through Pay-i: the URL is changed after the request was signed for Amazon's host.

Pay-i sends host, path, query and body on as they were signed: https://docs.pay-i.com/docs/header-forwarding
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

from .passage import OURS, Form, Passage

__all__ = ["send_through"]


def send_through(passage: Passage, request: Any, send: Callable[[Any], Any]) -> Any:
    """Send a call through Pay-i; return the response, or None if the call is to be made directly.

    Args:
        passage: its way.
        request: as it would go to the provider, a prepared one of botocore's. It is not changed.
        send: sends one.

    Raises:
        Exception: botocore's own error, if Pay-i cannot be reached and the call may not be made directly.
    """
    from botocore.exceptions import (  # here it is loaded already
        ConnectTimeoutError,
        EndpointConnectionError,
        ProxyConnectionError,
    )

    if passage.down:
        raise EndpointConnectionError(endpoint_url=passage.url.partition("?")[0], error="Pay-i cannot be reached")
    try:
        response = send(_routed(passage, request))
    except (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError):
        if passage.unreachable():
            return None
        raise
    headers = {name.lower(): value for name, value in response.headers.items()}
    form = passage.respond(response.status_code, headers)
    for name in headers:
        if name.startswith(OURS):
            del response.headers[name]
    return _read(passage, request, response) if form is Form.WHOLE else response


def _routed(passage: Passage, request: Any) -> Any:
    headers = request.headers.copy()
    for name, value in passage.headers.items():
        headers[name] = value
    made = type(request)
    return made(request.method, passage.url, headers, request.body, request.stream_output)


def _read(passage: Passage, request: Any, response: Any) -> Any:
    """Return the response as the app gets it, whose body is one text; None if the call is to be made directly."""
    from botocore.awsrequest import AWSResponse
    from urllib3 import HTTPResponse

    body = passage.read(response.status_code, response.content, replayable=isinstance(request.body, bytes | bytearray))
    if body is None:
        return None
    headers = {name: value for name, value in response.headers.items() if name.lower() != "transfer-encoding"}
    if any(name.lower() == "content-length" for name in headers):
        headers = {
            name: str(len(body)) if name.lower() == "content-length" else value for name, value in headers.items()
        }
    raw = HTTPResponse(body=BytesIO(body), headers=headers, preload_content=False)
    taken = AWSResponse(request.url, response.status_code, raw.headers, raw)
    if not request.stream_output:
        taken.content  # noqa: B018 - it is read at once, as botocore does
    return taken
