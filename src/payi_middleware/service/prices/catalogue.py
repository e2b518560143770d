"""The price catalogue: one edition of genai-prices' data, looked up by Pay-i's categories and resources."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from payi_middleware import packed_prices
from payi_middleware.listing_names import candidates, categories_of, listed_name, provider_of, scope_warning
from payi_middleware.packed_prices import PackedPrices

from .model import Model
from .resource import Resource

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider

__all__ = ["Catalogue", "built_in", "find_resource", "parse"]

_REMEMBERED = 8192
"""Names that are remembered, whether they were found or not."""


class Catalogue:
    """An edition of the catalogue.

    Args:
        prices: what genai-prices knows.
    """

    def __init__(self, prices: PackedPrices) -> None:
        self._prices = prices
        self._found: dict[tuple[str, str, str | None], Model | None] = {}
        self._names: dict[str, dict[str, tuple[int, int]]] = {}

    @property
    def categories(self) -> list[str]:
        """The categories that it has resources of, by name."""
        return sorted(category for provider in self._prices for category in categories_of(provider))

    def knows(self, category: str) -> bool:
        """Return whether a category stands for a provider in it."""
        return provider_of(category) in self._prices

    def find(self, category: str, resource: str, scope: str | None = None) -> Model | None:
        """Return the model that a resource is, or None if it is not in here.

        Args:
            category, resource: Pay-i's names.
            scope: where it is served, such as `global`, `datazone.us` or `region.eu-west-1`.
        """
        return self._find((category, resource, scope), None)

    def _find(self, key: tuple[str, str, str | None], providers: Sequence[Provider] | None) -> Model | None:
        try:
            return self._found[key]
        except KeyError:
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            if providers is None:
                providers = self._prices.unpacked(provider_of(key[0]))
            return self._found.setdefault(key, self._look_up(*key, providers) if providers else None)

    def _look_up(self, category: str, resource: str, scope: str | None, providers: Sequence[Provider]) -> Model | None:
        provider = providers[0]
        for name, doubt in candidates(provider.id, resource, scope):
            if (info := self._info(providers, name)) is not None:
                told = (doubt, scope_warning(provider.id, info.id, scope))
                own = any(info is model for model in provider.models)
                warnings = tuple(warning for warning in told if warning)
                return Model(category, resource, provider.id, info, has_tiers=own, warnings=warnings)
        return None

    def _info(self, providers: Sequence[Provider], name: str) -> ModelInfo | None:
        # Not by a snapshot of genai-prices: that remembers every name it was ever asked for.
        found = providers[0].find_model(name, all_providers=[*providers])
        if found is None and (place := self._names_of(providers).get(name)) is not None:
            which, number = place
            found = providers[which].models[number]
        return found

    def resources(self, category: str) -> Mapping[str, Model]:
        """Return the models of a category by the names of its resources; those that others offer there, too."""
        provider = provider_of(category)
        names = self._names.get(provider)
        providers: Sequence[Provider] | None = None
        if names is None or any((category, name, None) not in self._found for name in names):
            providers = self._prices.unpacked(provider)  # once for all of them
            if not providers:
                return {}
            names = self._names_of(providers)
        found = ((name, self._find((category, name, None), providers)) for name in sorted(names))
        return {name: model for name, model in found if model is not None}

    def _names_of(self, providers: Sequence[Provider]) -> dict[str, tuple[int, int]]:
        """Return which of the providers each listed name is of, and which of its models that is."""
        asked, *others = providers
        if asked.id not in self._names:
            names = {listed_name(asked.id, info.id): (0, number) for number, info in enumerate(asked.models)}
            for which, other in enumerate(others, 1):
                for number, info in enumerate(other.models):
                    if asked.find_model(info.id, all_providers=[*providers]) is info:
                        names.setdefault(listed_name(asked.id, info.id), (which, number))
            self._names[asked.id] = names
        return self._names[asked.id]


@lru_cache(maxsize=1)
def built_in() -> Catalogue:
    """Return the edition that came with the installed genai-prices."""
    return Catalogue(packed_prices.built_in())


def parse(data: bytes) -> Catalogue:
    """Return an edition as genai-prices publishes it.

    Raises:
        ValueError: this is none.
    """
    from genai_prices import types

    try:
        raw = json.loads(data)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(raw, list) or not all(isinstance(one, dict) for one in raw):
        raise ValueError("it is no list of providers")
    if not any(one.get("models") for one in raw):
        raise ValueError("it has no models")
    for provider in raw:
        provider.pop("extractors", None)  # how to read usage, which is none of our business here
    # Its public way to do this fetches the data itself, and does not hand it out.
    return Catalogue(PackedPrices(types._providers_from_raw(raw)))


def find_resource(category: str, resource: str | None, at: datetime, scope: str | None = None) -> Resource | None:
    """Return the version of a resource that is in force at a time by the built-in edition; None if it has none."""
    model = None if resource is None else built_in().find(category, resource, scope)
    return None if model is None else model.at(at)
