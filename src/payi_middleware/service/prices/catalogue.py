"""The price catalogue: one edition of genai-prices' data, looked up by Pay-i's categories and resources."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from payi_middleware.listing_names import candidates, categories_of, listed_name, provider_of, scope_warning

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
        providers: what genai-prices knows.
    """

    def __init__(self, providers: list[Provider]) -> None:
        self._all = providers
        self._providers = {provider.id: provider for provider in providers}
        self._found: dict[tuple[str, str, str | None], Model | None] = {}
        self._listed: dict[str, dict[str, ModelInfo]] = {}

    @property
    def categories(self) -> list[str]:
        """The categories that it has resources of, by name."""
        return sorted(category for provider in self._providers for category in categories_of(provider))

    def knows(self, category: str) -> bool:
        """Return whether a category stands for a provider in it."""
        return provider_of(category) in self._providers

    def find(self, category: str, resource: str, scope: str | None = None) -> Model | None:
        """Return the model that a resource is, or None if it is not in here.

        Args:
            category, resource: Pay-i's names.
            scope: where it is served, such as `global`, `datazone.us` or `region.eu-west-1`.
        """
        key = (category, resource, scope)
        try:
            return self._found[key]
        except KeyError:
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            return self._found.setdefault(key, self._look_up(category, resource, scope))

    def _look_up(self, category: str, resource: str, scope: str | None) -> Model | None:
        provider = provider_of(category)
        if provider not in self._providers:
            return None
        for name, doubt in candidates(provider, resource, scope):
            if (info := self._info(provider, name)) is not None:
                told = (doubt, scope_warning(provider, info.id, scope))
                own = any(info is model for model in self._providers[provider].models)
                warnings = tuple(warning for warning in told if warning)
                return Model(category, resource, provider, info, has_tiers=own, warnings=warnings)
        return None

    def _info(self, provider: str, name: str) -> ModelInfo | None:
        # Not by a snapshot of genai-prices: that remembers every name it was ever asked for.
        found = self._providers[provider].find_model(name, all_providers=self._all)
        return found or self._names(provider).get(name)

    def resources(self, category: str) -> Mapping[str, Model]:
        """Return the models of a category by the names of its resources; those that others offer there, too."""
        provider = provider_of(category)
        if provider not in self._providers:
            return {}
        found = ((name, self.find(category, name)) for name in sorted(self._names(provider)))
        return {name: model for name, model in found if model is not None}

    def _names(self, provider: str) -> dict[str, ModelInfo]:
        if provider not in self._listed:
            asked = self._providers[provider]
            names = {listed_name(provider, info.id): info for info in asked.models}
            for other in asked.fallback_model_providers or ():
                for info in self._providers[other].models if other in self._providers else ():
                    if asked.find_model(info.id, all_providers=self._all) is info:
                        names.setdefault(listed_name(provider, info.id), info)
            self._listed[provider] = names
        return self._listed[provider]


@lru_cache(maxsize=1)
def built_in() -> Catalogue:
    """Return the edition that came with the installed genai-prices."""
    from genai_prices.data import providers  # 1.6 MB of data

    return Catalogue(providers)


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
    return Catalogue(types._providers_from_raw(raw))


def find_resource(category: str, resource: str | None, at: datetime, scope: str | None = None) -> Resource | None:
    """Return the version of a resource that is in force at a time by the built-in edition; None if it has none."""
    model = None if resource is None else built_in().find(category, resource, scope)
    return None if model is None else model.at(at)
