"""Parts of limits for processes that make calls: an extension of ours to Pay-i's API."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from starlette.responses import Response

from payi_middleware.granting import Asked
from payi_middleware.service.accounts import leases

from .bodies import answer
from .reading import Body
from .routing import Route
from .service import Call

__all__ = ["ROUTES"]

_Amount = Annotated[int, Field(ge=0, le=10**18)]


class LeaseAsked(Body):
    """What a process holds of a limit and asks for, in 10^-9 USD.

    `in_use` is what its calls under way may cost, `first` what the next one may, and `total` what all that wait may.
    """

    holder: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._:-]+$")]
    in_use: _Amount = 0
    first: _Amount = 0
    total: _Amount = 0


async def take(call: Call, limit_id: str, asked: LeaseAsked) -> Response:
    """Give a process a part of a limit, so that all of them together stay within it."""
    wanted = Asked(asked.in_use, asked.first, asked.total)
    return answer(await call.write(leases.take, limit_id, asked.holder, wanted))


ROUTES = (
    Route(
        "POST",
        "/api/v1/limits/{limit_id}/lease",
        take,
        body=LeaseAsked,
        answer=dict[str, Any],
        errors={404: ("limit_not_found",)},
    ),
)
