"""Answers to browsers, with the headers that keep pages from doing or showing more than they should."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.responses import RedirectResponse, Response, StreamingResponse

__all__ = ["csv_file", "html", "nothing_new", "redirect", "secured"]

_SECURITY = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_PRIVATE = {"Cache-Control": "no-store", "Vary": "Cookie"}


def secured(response: Response) -> Response:
    """Add to an answer what keeps others from using it."""
    response.headers.update(_SECURITY)
    return response


def html(text: str, status: int = 200) -> Response:
    """Answer with a page."""
    body = text.encode("utf-8", "replace")  # half a surrogate pair in a stored name has no UTF-8 form
    return secured(Response(body, status, _PRIVATE, media_type="text/html"))


def redirect(url: str) -> Response:
    """Lead to another page."""
    return secured(RedirectResponse(url, 303, _PRIVATE))


def nothing_new() -> Response:
    """Leave what is on the page as it is."""
    return secured(Response(status_code=204, headers=_PRIVATE))


def csv_file(name: str, lines: Iterator[bytes]) -> Response:
    """Answer with a file, as it is made."""
    headers = {**_PRIVATE, "Content-Disposition": f'attachment; filename="{name}"'}
    return secured(StreamingResponse(lines, headers=headers, media_type="text/csv"))
