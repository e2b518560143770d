"""Service tiers: a provider's cheaper or quicker processing, whose prices are units of their own.

A unit's price in a tier is that of the unit with the tier's name behind it: `text_batch`, `text_cache_read_priority`;
`_large_context` comes last. What has no price of its own in a tier costs there what it costs anyway. So one rule holds
for the catalogue, for resources of one's own, for calls whose property tells the tier, and for those who report
`text_batch` themselves.
"""

from __future__ import annotations

from collections.abc import Mapping

from payi_middleware.providers.batch_results import BATCH
from payi_middleware.service.units import TIERS

__all__ = ["CONTEXTS", "TIER_PROPERTY", "is_summed", "tier_of", "tiers_in"]

TIER_PROPERTY = "system.service_tier"
"""The property that reports tell the tier in which a call was served in."""

CONTEXTS: Mapping[str, Mapping[str, str]] = {
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
    "fast": {"service_tier": "fast", "speed": "fast"},
}
"""What genai-prices calls the tiers: https://github.com/pydantic/genai-prices"""

_STANDARD = frozenset({"", "default", "standard", "auto", "on_demand", "standard_only"})
_MOST = 64
"""Characters of the longest name of a tier that a warning repeats."""


def tier_of(properties: Mapping[str, str | None]) -> str | None:
    """Return the service tier that a call's properties tell; None for the standard one."""
    told = (properties.get(TIER_PROPERTY) or "").strip().lower()[:_MOST]
    return None if told in _STANDARD else told.removeprefix("on_demand_")


def is_summed(properties: Mapping[str, str | None]) -> bool:
    """Return whether a report's properties tell that it is of many requests: of a batch's results."""
    return properties.get(BATCH) is not None


def tiers_in(units: Mapping[str, object]) -> frozenset[str]:
    """Return the tiers that some unit of a price list has a price of its own in."""
    plain = [unit.removesuffix("_large_context") for unit in units]
    return frozenset(tier for tier in TIERS if any(unit.endswith(f"_{tier}") for unit in plain))
