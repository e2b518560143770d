"""Prices of models from `genai-prices`, where that is installed: https://github.com/pydantic/genai-prices"""

from __future__ import annotations

import importlib
import importlib.util
from decimal import Decimal
from typing import Any

from payi_middleware.forks import uncut
from payi_middleware.listing_names import candidates, provider_of

from .estimates import Rates, Resource

__all__ = ["listed_rates"]

_TOKENS = 1_000
"""So many tokens are priced: few enough for no model's price for long contexts to apply."""


def listed_rates(resource: Resource) -> Rates | None:
    """Return a resource's list prices, or None where it is not listed."""
    with uncut:  # it loads more of itself with each thing that it is asked for first
        if importlib.util.find_spec("genai_prices") is None:
            return None
        return _listed(importlib.import_module("genai_prices"), *resource)


def _listed(prices: Any, category: str, name: str) -> Rates | None:
    provider = provider_of(category)
    for model, _ in candidates(provider, name, None):
        text = _price(prices, provider, model, input_tokens=_TOKENS, output_tokens=_TOKENS)
        if text is not None:
            return Rates({"text": text, **_cache(prices, provider, model)})
    return None


def _cache(prices: Any, provider: str, model: str) -> dict[str, tuple[Decimal | None, Decimal | None]]:
    found: dict[str, tuple[Decimal | None, Decimal | None]] = {}
    for unit, key in (("text_cache_read", "cache_read_tokens"), ("text_cache_write", "cache_write_tokens")):
        price = _price(prices, provider, model, **{"input_tokens": _TOKENS, key: _TOKENS})
        if price is not None:
            found[unit] = (price[0], None)
    return found


def _price(prices: Any, provider: str, model: str, **counts: int) -> tuple[Decimal, Decimal] | None:
    try:
        found = prices.calc_price(prices.Usage(**counts), model, provider_id=provider)
    except (LookupError, ValueError):
        return None
    if found.provider.id != provider:
        return None
    return Decimal(found.input_price) / _TOKENS, Decimal(found.output_price) / _TOKENS
