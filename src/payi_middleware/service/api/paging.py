"""Pages of a list on the wire: the query that asks for one, its answer, and the cursor that leads to the next.

A cursor is the position of a page's last item, and the name of the list, so that one of another list is refused. It
tells nothing that the items do not tell.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, Field
from starlette.responses import Response

from payi_middleware.service.accounts.pages import MOST, Asked, Page, Position
from payi_middleware.service.errors import ServiceError, invalid

from .bodies import answer
from .reading import Query, QueryFlag, QueryText

__all__ = ["PageOf", "PageQuery", "answer_page", "asked"]

_T = TypeVar("_T")
_DEFAULT = 25
_LATEST = 2**62


class PageQuery(Query):
    """Which page of a list."""

    cursor: Annotated[QueryText, Field(description="The `cursor` of the page before; none begins the list.")] = None
    limit: Annotated[int | None, Field(ge=1, description=f"Items a page; {_DEFAULT} if not given, at most {MOST}.")] = (
        None
    )
    sort_ascending: Annotated[QueryFlag, Field(description="The oldest first; if not, the newest.")] = None


class PageOf(BaseModel, Generic[_T]):
    """A page of a list."""

    items: list[_T]
    cursor: Annotated[str | None, Field(description="Leads to the next page; null on the last one.")]


def asked(query: PageQuery, name: str) -> Asked:
    """Return what page a query asks for.

    Args:
        name: the list's, as `answer_page` was told.

    Raises:
        ServiceError: 400, the cursor is none of this list's.
    """
    after = None if query.cursor is None else _position(query.cursor, name)
    return Asked(after, min(query.limit or _DEFAULT, MOST), bool(query.sort_ascending))


def answer_page(page: Page[_T], name: str, as_body: Callable[[_T], Any] = lambda item: item) -> Response:
    """Answer a page of the list with this name."""
    cursor = None if page.last is None else _cursor(page.last, name)
    return answer({"items": [as_body(item) for item in page.items], "cursor": cursor})


def _cursor(position: Position, name: str) -> str:
    told = json.dumps([name, *position], separators=(",", ":"))
    return base64.urlsafe_b64encode(told.encode()).decode().rstrip("=")


def _position(cursor: str, name: str) -> Position:
    try:
        told = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True))
    except (ValueError, RecursionError, binascii.Error) as error:
        raise _unknown() from error
    match told:
        case [str(of), int(made), str(own_id)] if (
            of == name and 0 <= made < _LATEST and not isinstance(made, bool) and _is_storable(own_id)
        ):
            return Position(made, own_id)
    raise _unknown()


def _is_storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _unknown() -> ServiceError:
    return invalid("cursor must be the cursor of the page before")
