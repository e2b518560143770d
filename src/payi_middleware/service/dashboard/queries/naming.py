"""What keys stand for: the names to show, and to filter by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from payi_middleware.service.dashboard.filters import Dimension
from payi_middleware.service.store.names import Kind

from .view import View

__all__ = ["Values", "named"]

Values = Mapping[Dimension, str | None]

_KINDS: dict[Dimension, tuple[tuple[Dimension, Kind], ...]] = {
    Dimension.USER: ((Dimension.USER, Kind.USER),),
    Dimension.ACCOUNT: ((Dimension.ACCOUNT, Kind.ACCOUNT),),
    Dimension.USE_CASE: ((Dimension.USE_CASE, Kind.USE_CASE),),
    Dimension.STEP: ((Dimension.USE_CASE, Kind.USE_CASE), (Dimension.STEP, Kind.STEP)),
    Dimension.INSTANCE: ((Dimension.USE_CASE, Kind.USE_CASE), (Dimension.INSTANCE, Kind.INSTANCE)),
    Dimension.LIMIT: ((Dimension.LIMIT, Kind.LIMIT),),
}


def named(view: View, dimension: Dimension, keys: Iterable[tuple[int, ...]]) -> dict[tuple[int, ...], Values]:
    """Return the names of keys, by dimension."""
    asked = list(keys)
    if dimension in (Dimension.CATEGORY, Dimension.RESOURCE):
        return _resources(view, asked, whole=dimension is Dimension.RESOURCE)
    parts = [
        (name, view.names(kind, {key[place] for key in asked})) for place, (name, kind) in enumerate(_KINDS[dimension])
    ]
    return {key: {name: _text(name, found[key[place]]) for place, (name, found) in enumerate(parts)} for key in asked}


def _text(name: Dimension, text: str | None) -> str | None:
    if name is Dimension.INSTANCE and text is not None:
        return text.partition("\n")[2]
    return text


def _resources(view: View, keys: Sequence[tuple[int, ...]], *, whole: bool) -> dict[tuple[int, ...], Values]:
    found = view.names(Kind.RESOURCE, {key[0] for key in keys})
    told: dict[tuple[int, ...], Values] = {}
    for key in keys:
        category, _, resource = (found[key[0]] or "").partition("\n")
        values: dict[Dimension, str | None] = {Dimension.CATEGORY: category or None}
        told[key] = {**values, Dimension.RESOURCE: resource or None} if whole else values
    return told
