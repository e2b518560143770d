"""What the headers of a call say about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from payi_middleware.service.api.wire import ingest_item

__all__ = ["Annotated", "annotated"]

_PRICE_AS = "xproxy-priceas-resource"
_ROUTE_AS = "xproxy-routeas-resource"
"""Its older name: https://docs.pay-i.com/docs/list-of-all-supported-headers"""


@dataclass(frozen=True, slots=True)
class Annotated:
    """What a call is annotated with.

    Args:
        item: the fields of a bulk item that the headers amount to.
        price_as_category, price_as_resource: what it is priced as, if not as what it is.
        keep_content: whether prompt and answer may be kept; None where nothing is said.
    """

    item: Mapping[str, Any]
    price_as_category: str | None
    price_as_resource: str | None
    keep_content: bool | None


def annotated(headers: Mapping[str, str]) -> Annotated:
    """Read the `xProxy-*` headers of a call.

    Args:
        headers: by lower-case name.

    Raises:
        ServiceError: 400, one of them cannot be read.
    """
    return Annotated(
        ingest_item({}, headers, None),
        headers.get("xproxy-priceas-category") or None,
        headers.get(_PRICE_AS) or headers.get(_ROUTE_AS) or None,
        {"True": False, "False": True}.get(headers.get("xproxy-logging-disable", "")),
    )
