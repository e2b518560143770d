"""The price list of genai-prices, packed: https://github.com/pydantic/genai-prices

Unpacked it is many thousands of objects, and each full collection of garbage goes through all of them, for as long as
the process lives. A look-up needs one provider's only, and is remembered by whoever makes it.
"""

from __future__ import annotations

import importlib.util
import pickle
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genai_prices.types import Provider

__all__ = ["PackedPrices", "built_in"]

_DATA = "genai_prices.data"


class PackedPrices:
    """A price list of which a provider is unpacked when it is looked into.

    Args:
        providers: as genai-prices has them. How to read a provider's answers is left out: that is done elsewhere.
    """

    def __init__(self, providers: Iterable[Provider]) -> None:
        self._offered: dict[str, tuple[str, ...]] = {}
        self._packed: dict[str, bytes] = {}
        for provider in providers:
            self._offered[provider.id] = tuple(provider.fallback_model_providers or ())
            self._packed[provider.id] = pickle.dumps(replace(provider, extractors=None), pickle.HIGHEST_PROTOCOL)

    def __contains__(self, provider_id: object) -> bool:
        return provider_id in self._packed

    def __iter__(self) -> Iterator[str]:
        """Iterate over the ids of the providers."""
        return iter(self._packed)

    def unpacked(self, provider_id: str) -> list[Provider]:
        """Return a provider, followed by those whose models it offers, too; nothing where it is not listed."""
        if provider_id not in self._packed:
            return []
        wanted = dict.fromkeys((provider_id, *self._offered[provider_id]))
        return [pickle.loads(self._packed[one]) for one in wanted if one in self._packed]


@cache
def built_in() -> PackedPrices:
    """Return the list that came with the installed genai-prices.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    if (loaded := sys.modules.get(_DATA)) is not None:  # the app itself uses it
        return PackedPrices(loaded.providers)
    spec = importlib.util.find_spec(_DATA)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"No module named {_DATA!r}", name=_DATA)
    data = importlib.util.module_from_spec(spec)  # not by `import`, which would keep it for good
    spec.loader.exec_module(data)
    return PackedPrices(data.providers)
