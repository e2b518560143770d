"""Prices of models from `genai-prices`, where that is installed: https://github.com/pydantic/genai-prices"""

from __future__ import annotations

import importlib
import importlib.util
from decimal import Decimal
from typing import Any

from payi_middleware.forks import uncut
from payi_middleware.listing_names import candidates, provider_of
from payi_middleware.packed_prices import built_in

from .estimates import Rates, Resource

__all__ = ["listed_rates"]

_TOKENS = 1_000
"""So many tokens are priced: few enough for no model's price for long contexts to apply."""


def listed_rates(resource: Resource) -> Rates | None:
    """Return a resource's list prices, or None where it is not listed."""
    with uncut:  # it loads more of itself with each thing that it is asked for first
        if importlib.util.find_spec("genai_prices") is None:
            return None
        return _listed(*resource)


def _listed(category: str, name: str) -> Rates | None:
    provider = provider_of(category)
    snapshot = _snapshot(provider)
    for model, _ in candidates(provider, name, None):
        text = _price(snapshot, provider, model, input_tokens=_TOKENS, output_tokens=_TOKENS)
        if text is not None:
            return Rates({"text": text, **_cache(snapshot, provider, model)})
    return None


def _snapshot(provider: str) -> Any:
    """Return the prices that are in force: those that the app keeps up to date by itself, if it does, or the built-in.

    Its `calc_price` would look into the same, but load all that is built in, and keep that.
    """
    snapshots = importlib.import_module("genai_prices.data_snapshot")
    updated = getattr(snapshots, "_custom_snapshot", None)
    return updated or snapshots.DataSnapshot(providers=built_in().unpacked(provider), from_auto_update=False)


def _cache(snapshot: Any, provider: str, model: str) -> dict[str, tuple[Decimal | None, Decimal | None]]:
    found: dict[str, tuple[Decimal | None, Decimal | None]] = {}
    for unit, key in (("text_cache_read", "cache_read_tokens"), ("text_cache_write", "cache_write_tokens")):
        price = _price(snapshot, provider, model, **{"input_tokens": _TOKENS, key: _TOKENS})
        if price is not None:
            found[unit] = (price[0], None)
    return found


def _price(snapshot: Any, provider: str, model: str, **counts: int) -> tuple[Decimal, Decimal] | None:
    usage = importlib.import_module("genai_prices").Usage(**counts)
    try:
        found = snapshot.calc(usage, model, provider, None, None)
    except (LookupError, ValueError):
        return None
    if found.provider.id != provider:
        return None
    return Decimal(found.input_price) / _TOKENS, Decimal(found.output_price) / _TOKENS
