"""Which sums answer a question: those that were made of the same names, or the requests themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import select

from payi_middleware.service.accounts.rollups import KEYS, Rollup
from payi_middleware.service.dashboard.filters import KINDS, Dimension, Filters, Status
from payi_middleware.service.store.names import NONE, Kind, key_of, pair
from payi_middleware.service.store.schema import names

from .view import View

__all__ = ["COLUMNS", "Asked", "asked", "is_quick", "rollup_for"]

COLUMNS: dict[Dimension, tuple[str, ...]] = {
    Dimension.USER: ("user_key",),
    Dimension.ACCOUNT: ("account_key",),
    Dimension.USE_CASE: ("use_case_key",),
    Dimension.STEP: ("use_case_key", "step_key"),
    Dimension.CATEGORY: ("resource_key",),
    Dimension.RESOURCE: ("resource_key",),
    Dimension.INSTANCE: ("use_case_key", "instance_key"),
    Dimension.LIMIT: ("limit_key",),
}
"""The columns that requests are grouped by. A step or an instance is one of its use case."""

_BY_COLUMNS = {frozenset(filter(None, columns)): kind for kind, columns in KEYS.items()}
_WITH_USE_CASE = frozenset({"step_key", "instance_key"})


@dataclass(frozen=True, slots=True)
class Asked:
    """Filters as a query takes them: the keys that each column may have."""

    keys: Mapping[str, tuple[int, ...]]
    status: Status | None


def asked(view: View, filters: Filters) -> Asked:
    """Turn names into keys."""
    keys: dict[str, tuple[int, ...]] = {
        f"{name}_key": (_key(filters, name, value),) for name, value in filters.values.items() if name in KINDS
    }
    if Dimension.CATEGORY in filters.values or Dimension.RESOURCE in filters.values:
        keys["resource_key"] = _of_models(view, filters)
    return Asked(keys, filters.status)


def _key(filters: Filters, name: Dimension, value: str | None) -> int:
    if name is Dimension.INSTANCE:
        value = pair(filters.values.get(Dimension.USE_CASE) or "", value)
    return key_of(KINDS[name], value)


def _of_models(view: View, filters: Filters) -> tuple[int, ...]:
    """Return the keys of a category's resources, or of all of one name; one that none has where there are none."""
    category, resource = (filters.values.get(name) for name in (Dimension.CATEGORY, Dimension.RESOURCE))
    if category is not None and Dimension.RESOURCE in filters.values:
        return (key_of(Kind.RESOURCE, pair(category, resource)),)
    query = select(names.c.key).where(names.c.application_id == view.application_id, names.c.kind == int(Kind.RESOURCE))
    if category is not None:
        query = query.where(names.c.value.startswith(f"{category}\n", autoescape=True))
    else:
        query = query.where(names.c.value.endswith(f"\n{resource or ''}", autoescape=True))
    return tuple(view.connection.scalars(query)) or (NONE,)


def rollup_for(keys: Mapping[str, tuple[int, ...]], group: Iterable[str] = ()) -> Rollup | None:
    """Return which sums can be filtered by these columns and grouped by those; None if none can."""
    needed = frozenset(keys).union(group)
    if len(needed) == 1 and needed <= _WITH_USE_CASE:
        needed |= {"use_case_key"}
    kind = _BY_COLUMNS.get(needed)
    if kind in (Rollup.USE_CASE_STEP, Rollup.USE_CASE_INSTANCE) and _reaches_beyond_use_cases(keys, group):
        return None
    return kind


def _reaches_beyond_use_cases(keys: Mapping[str, tuple[int, ...]], group: Iterable[str]) -> bool:
    """Return whether requests without a use case are asked for, which these sums leave out."""
    if "use_case_key" in keys:
        return NONE in keys["use_case_key"]
    return any(NONE in values for values in keys.values()) and not _WITH_USE_CASE.intersection(group)


def is_quick(filters: Filters, dimension: Dimension | None = None) -> bool:
    """Return whether there are sums that answer a question, so that it need not go through many requests."""
    if filters.status is not None:
        return dimension is None
    keys = {f"{name}_key": (1,) for name in filters.values if name in KINDS}
    if Dimension.CATEGORY in filters.values or Dimension.RESOURCE in filters.values:
        keys["resource_key"] = (1,)
    return rollup_for(keys, COLUMNS[dimension] if dimension else ()) is not None
