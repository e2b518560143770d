"""Request bodies in, answer bodies out."""

from __future__ import annotations

import json
import uuid
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from payi_middleware.service.errors import ServiceError, invalid


async def read_json(request: Request, maximum: int) -> Any:
    """Read a request's JSON body; None where there is none.

    Raises:
        ServiceError: 413, the body is larger than `maximum` bytes; 400 `invalid_json`.
    """
    body = await read_body(request, maximum)
    return parse_json(body) if body.strip() else None


async def read_body(request: Request, maximum: int) -> bytes:
    """Read a request's body.

    Raises:
        ServiceError: 413, it is larger than `maximum` bytes.
    """
    body = bytearray()
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > maximum:
        raise _too_large(maximum)
    async for chunk in request.stream():
        body += chunk
        if len(body) > maximum:
            raise _too_large(maximum)
    return bytes(body)


def _too_large(maximum: int) -> ServiceError:
    return ServiceError(413, "request_processing_error", f"the body is larger than {maximum} bytes")


def parse_json(text: str | bytes) -> Any:
    """Read JSON.

    Raises:
        ServiceError: 400 `invalid_json`.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise invalid("the body is not JSON", "invalid_json") from exc


def answer(body: Any, status: int = 200) -> Response:
    """Write a JSON answer; see `encoded`."""
    return Response(encoded(body), status, media_type="application/json")


def new_request_id() -> str:
    """Make up an id for an answer that has to have one, and is kept nowhere."""
    return f"req_{uuid.uuid4().hex}"


def encoded(body: Any) -> bytes:
    """Write JSON; a Decimal becomes the shortest number that reads back as it."""
    text = json.dumps(body, default=_number, ensure_ascii=False, separators=(",", ":"))
    # Half a surrogate pair in a stored property has no UTF-8 form: JSON's own escape does.
    return text.encode("utf-8", "backslashreplace")


def _number(value: object) -> float:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def refusal(error: ServiceError) -> Response:
    """Write an error answer."""
    response = answer(error.body(), error.status)
    if error.allow:
        response.headers["allow"] = ", ".join(error.allow)
    return response
