"""Names to choose from while one is typed into a filter."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from payi_middleware.service.store.names import Kind
from payi_middleware.service.store.schema import names

from .filters import KINDS, Dimension
from .pages.context import NotThereError, Page
from .queries.view import View

__all__ = ["suggestions"]

_MOST = 20
_OFFERED = {
    **{str(name): KINDS[name] for name in (Dimension.USER, Dimension.ACCOUNT, Dimension.USE_CASE, Dimension.STEP)},
    str(Dimension.CATEGORY): Kind.RESOURCE,
    str(Dimension.RESOURCE): Kind.RESOURCE,
}


def suggestions(view: View, page: Page, dimension: str) -> dict[str, Any]:
    """Return names that have in them what was typed."""
    if dimension not in _OFFERED:
        raise NotThereError("There is no such filter.")
    typed = page.parameters.get(dimension, "").strip().lower()
    query = (
        select(names.c.value)
        .where(
            names.c.application_id == view.application_id,
            names.c.kind == int(_OFFERED[dimension]),
            func.lower(names.c.value).contains(typed, autoescape=True),
        )
        .order_by(func.length(names.c.value), names.c.value)
        .limit(_MOST)
    )
    found = list(view.connection.scalars(query))
    if _OFFERED[dimension] is Kind.RESOURCE:
        part = 0 if dimension == Dimension.CATEGORY else 2
        found = list(dict.fromkeys(text.partition("\n")[part] for text in found))
    return {"names": found}
