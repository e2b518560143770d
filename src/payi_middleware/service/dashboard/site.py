"""The dashboard's pages, and who may see them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from itertools import chain
from typing import Any
from urllib.parse import parse_qs, urlencode

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response

from payi_middleware.service.api.bodies import read_body
from payi_middleware.service.api.routing import Route
from payi_middleware.service.api.service import Call
from payi_middleware.service.errors import LedgerError, ServiceError
from payi_middleware.service.ledger import Ledger
from payi_middleware.service.store import clock

from . import answers, assets
from .attempts import Attempts
from .csv_export import lines
from .door import COOKIE, SESSION_SECONDS, Door, Visitor, is_same_origin
from .filters import KINDS, Dimension, FilterError, Status, filters_of
from .pages import limits, live, overview, requests, spend, unknown, use_cases
from .pages.context import LACKING, TITLES, Export, NotThereError, Page, Read
from .periods import PRESETS
from .queries.view import View
from .rendering import render
from .suggesting import suggestions

__all__ = ["Site"]

logger = logging.getLogger(__name__)

Builder = Callable[..., Mapping[str, Any]]

EXPORTS: dict[str, Export] = {
    **spend.EXPORTS,
    **requests.EXPORTS,
    **limits.EXPORTS,
    **use_cases.EXPORTS,
    **unknown.EXPORTS,
}
_LONGEST_FORM = 4_096


class Site:
    """The dashboard of a ledger.

    Args:
        ledger: of any application in its database.
        door: lets visitors in.
    """

    def __init__(self, ledger: Ledger, door: Door) -> None:
        self._ledger = ledger
        self._door = door
        self._attempts = Attempts()

    @property
    def routes(self) -> tuple[Route, ...]:
        """Its pages."""
        page = self._page
        return (
            Route("GET", "/", page("overview.html", overview.overview), open=True),
            Route("GET", "/panel/{path}", page("panel.html", overview.lazy_panel), open=True),
            Route("GET", "/table/{path}", page("panel.html", spend.spend_at_once), open=True),
            Route("GET", "/spend/{path}", page("spend.html", spend.spend), open=True),
            Route("GET", "/requests", page("requests.html", requests.requests), open=True),
            Route("GET", "/requests/{request_id}", page("request.html", requests.request), open=True),
            Route("GET", "/limits", page("limits.html", limits.limits), open=True),
            Route("GET", "/limits/{limit_id}", page("limit.html", limits.limit), open=True),
            Route("GET", "/use-cases", page("use_cases.html", use_cases.use_cases), open=True),
            Route("GET", "/use-cases/{name}", page("use_case.html", use_cases.use_case), open=True),
            Route(
                "GET", "/use-cases/{name}/{use_case_id}", page("instance.html", use_cases.use_case_instance), open=True
            ),
            Route("GET", "/unknown", page("unknown.html", unknown.unknown), open=True),
            Route("GET", "/live", page("live.html", live.live), open=True),
            Route("GET", "/live/rows", page("live_rows.html", live.live), open=True),
            Route("GET", "/suggest/{dimension}", page("suggestions.html", suggestions), open=True),
            Route("GET", "/export/{file}", self._export, open=True),
            Route("GET", "/assets/{name}", _asset, open=True),
            Route("GET", "/sign-in", self._ask_for_key, open=True),
            Route("POST", "/sign-in", self._sign_in, open=True),
            Route("POST", "/sign-out", self._sign_out, open=True),
        )

    def _page(self, template: str, build: Builder) -> Callable[..., Awaitable[Response]]:
        async def endpoint(call: Call, *segments: str) -> Response:
            return await run_sync(partial(self._answer, call.request, template, build, segments))

        return endpoint

    def _answer(self, request: Request, template: str, build: Builder, segments: tuple[str, ...]) -> Response:
        def answer(visitor: Visitor, page: Page) -> Response:
            told = self._reader(visitor)(lambda view: build(view, page, *segments))
            if told.get("unchanged"):
                return answers.nothing_new()
            return answers.html(render(template, **_common(request, page, visitor), **told))

        return self._to_visitor(request, answer)

    async def _export(self, call: Call, file: str) -> Response:
        return await run_sync(partial(self._exported, call.request, file))

    def _exported(self, request: Request, file: str) -> Response:
        def answer(visitor: Visitor, page: Page) -> Response:
            export = EXPORTS.get(file.removesuffix(".csv"))
            if export is None or not file.endswith(".csv"):
                raise NotThereError("There is no such table.")
            read = self._reader(visitor)
            pieces = lines(export.columns(page, read), export.rows(page, read))
            first = next(pieces)  # what can be wrong with the request is found out before the answer begins
            return answers.csv_file(file, chain([first], pieces))

        return self._to_visitor(request, answer)

    def _reader(self, visitor: Visitor) -> Read[Any]:
        ledger = self._ledger.of(visitor.application_id)

        def read(function: Callable[[View], Any]) -> Any:
            return ledger.snapshot(
                lambda connection, application_id: function(View(connection, application_id, ledger.prices))
            )

        return read

    def _to_visitor(self, request: Request, answer: Callable[[Visitor, Page], Response]) -> Response:
        """Answer a visitor, or ask for a key; what goes wrong is told on a page."""
        root = _root(request)
        visitor = None
        try:
            visitor = self._door.visitor(request)
            return _to_sign_in(request, root) if visitor is None else answer(visitor, _page_of(request, root))
        except FilterError as error:
            return _problem(root, 400, "This address asks for something that there is not", f"{error}.", visitor)
        except NotThereError as error:
            return _problem(root, 404, "Not found", str(error), visitor)
        except LedgerError as error:
            logger.error("%s", error)
            return _problem(root, 503, "The ledger is not available", "Try again in a moment.")

    async def _ask_for_key(self, call: Call) -> Response:
        return _sign_in_page(call.request)

    async def _sign_in(self, call: Call) -> Response:
        request = call.request
        if not is_same_origin(request):
            return _sign_in_page(request, 403, "This form was sent by another site. Sign in here.")
        address = request.client.host if request.client is not None else ""
        if wait := self._attempts.wait(address):
            response = _sign_in_page(request, 429, f"Too many keys that were wrong. Try again in {wait} seconds.")
            response.headers["Retry-After"] = str(wait)
            return response
        try:
            form = parse_qs((await read_body(request, _LONGEST_FORM)).decode("utf-8", "replace"))
        except ServiceError:
            return _sign_in_page(request, 413, "This is too long for a key.")
        session = await run_sync(self._door.session, form.get("key", [""])[0])
        if session is None:
            self._attempts.fail(address)
            return _sign_in_page(request, 401, "There is no such key, or it was revoked.")
        response = answers.redirect(_root(request) + _safe_path(form.get("next", ["/"])[0]))
        response.set_cookie(COOKIE, session, max_age=SESSION_SECONDS, **_cookie(request))
        return response

    async def _sign_out(self, call: Call) -> Response:
        if not is_same_origin(call.request):
            return _sign_in_page(call.request, 403, "This form was sent by another site.")
        response = answers.redirect(f"{_root(call.request)}/sign-in")
        response.delete_cookie(COOKIE, **_cookie(call.request))
        return response


async def _asset(call: Call, name: str) -> Response:
    response = assets.serve(call.request, name)
    return _problem(_root(call.request), 404, "Not found", "") if response is None else answers.secured(response)


def _root(request: Request) -> str:
    return str(request.scope.get("root_path", "")).rstrip("/")


def _cookie(request: Request) -> dict[str, Any]:
    secure = request.url.scheme == "https"
    return {"path": _root(request) or "/", "httponly": True, "samesite": "strict", "secure": secure}


def _page_of(request: Request, root: str) -> Page:
    now = clock.now()
    if any("\0" in value for value in request.query_params.values()):
        raise FilterError("no name has the character NUL")
    return Page(root, filters_of(request.query_params.multi_items(), now), now, dict(request.query_params))


def _common(request: Request, page: Page, visitor: Visitor) -> dict[str, Any]:
    return {
        "root": page.root,
        "page": page,
        "filters": page.filters,
        "now": page.now,
        "visitor": visitor,
        "here": request.url.path.removeprefix(page.root),
        "presets": PRESETS,
        "statuses": list(Status),
        "searchable": [dimension for dimension in KINDS if dimension in _IN_FORM]
        + [Dimension.CATEGORY, Dimension.RESOURCE],
        "TITLES": TITLES,
        "LACKING": LACKING,
    }


_IN_FORM = (Dimension.USER, Dimension.ACCOUNT, Dimension.USE_CASE, Dimension.STEP)


def _to_sign_in(request: Request, root: str) -> Response:
    """Ask for a key; or, where another site has led here, have the browser come again.

    It keeps our cookie to itself while another site leads, which is what keeps that site from acting for the visitor.
    """
    if request.headers.get("sec-fetch-site") == "cross-site" and request.headers.get("sec-fetch-mode") == "navigate":
        return answers.html(render("again.html", url=str(request.url.replace(scheme="", netloc=""))))
    if "hx-request" in request.headers:
        response = answers.nothing_new()
        response.headers["HX-Refresh"] = "true"
        return response
    path = request.url.path.removeprefix(root)
    query = f"?{request.url.query}" if request.url.query else ""
    wanted = "" if path == "/" and not query else f"?{urlencode({'next': path + query})}"
    return answers.redirect(f"{root}/sign-in{wanted}")


def _safe_path(text: str) -> str:
    """Return a path of ours; the first page for anything that could lead elsewhere."""
    fits = text.startswith("/") and text[1:2] not in ("/", "\\") and text.isprintable()
    return text if fits else "/"


def _sign_in_page(request: Request, status: int = 200, problem: str = "") -> Response:
    wanted = _safe_path(request.query_params.get("next", "/"))
    return answers.html(render("sign_in.html", root=_root(request), problem=problem, next=wanted), status)


def _problem(root: str, status: int, title: str, text: str, visitor: Visitor | None = None) -> Response:
    return answers.html(render("problem.html", root=root, title=title, text=text, visitor=visitor), status)
