"""What one unit costs: genai-prices' price keys turned into rates per single unit.

Units are exclusive parts while genai-prices' keys are inclusive, so each unit is billed at the first key of its row
that the model has a price for. The order of a row is how providers bill what they list no price of its own for:

- reasoning is billed as output: https://platform.openai.com/docs/guides/reasoning
- cached input without a price of its own is billed as input: https://openai.com/api/pricing
- images in a prompt are billed as input tokens: https://docs.anthropic.com/en/docs/build-with-claude/vision
- Gemini bills audio and video as text unless listed apart: https://ai.google.dev/gemini-api/docs/pricing
- Claude's one-hour cache writes cost twice its input: https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from payi_middleware.service.store.money import exact, quanta

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice

Keys = tuple[str, ...]

_INPUT: Keys = ("input_text_mtok", "input_mtok")
_OUTPUT: Keys = ("output_text_mtok", "output_mtok")
_CACHE_READ: Keys = ("cache_text_read_mtok", "cache_read_mtok", *_INPUT)
_IMAGE_IN: Keys = ("input_image_mtok", *_INPUT)
_IMAGE_CACHE_READ: Keys = ("cache_image_read_mtok", "input_image_mtok", *_CACHE_READ)
_SEARCH: Keys = ("web_searches_kcount",)
_CACHE_WRITE: Keys = (
    "cache_text_write_5m_mtok",
    "cache_write_5m_mtok",
    "cache_text_write_mtok",
    "cache_write_mtok",
    *_INPUT,
)

_ROWS: dict[str, tuple[Keys, Keys]] = {
    "text": (_INPUT, _OUTPUT),
    "text_cache_read": (_CACHE_READ, ()),
    "text_cache_write": (_CACHE_WRITE, ()),
    "text_cache_write_1h": (("cache_text_write_1h_mtok", "cache_write_1h_mtok"), ()),
    "reasoning": ((), ("output_text_reasoning_mtok", "output_reasoning_mtok", *_OUTPUT)),
    "vision": (_IMAGE_IN, ()),
    "vision_cache_read": (_IMAGE_CACHE_READ, ()),
    "image": (_IMAGE_IN, ("output_image_mtok", "output_mtok")),
    "image_cache_read": (_IMAGE_CACHE_READ, ()),
    "audio": (("input_audio_mtok",), ("output_audio_mtok",)),
    "audio_cache_read": (("cache_audio_read_mtok", "input_audio_mtok"), ()),
    "video": (("input_video_mtok",), ("output_video_mtok",)),
    "video_cache_read": (("cache_video_read_mtok", "input_video_mtok"), ()),
    "web_search_request": (_SEARCH, _SEARCH),
    "request": (("requests_kcount",), ()),
    "audio_seconds": (("input_audio_hours", "audio_hours"), ("output_audio_hours",)),
    "character": (("input_mchars",), ("output_mchars",)),
    "page": (("input_document_kpages",), ()),
}

# Gemini lists audio and video apart only where they differ from text.
_GOOGLE_ROWS: dict[str, tuple[Keys, Keys]] = _ROWS | {
    unit: ((*_ROWS[unit][0], *general), (*_ROWS[unit][1], *_OUTPUT) if _ROWS[unit][1] else ())
    for unit, general in (
        ("audio", _INPUT),
        ("video", _INPUT),
        ("audio_cache_read", _CACHE_READ),
        ("video_cache_read", _CACHE_READ),
    )
}

_PER = {
    "mtok": Decimal(1_000_000),
    "kcount": Decimal(1_000),
    "hours": Decimal(3_600),
    "mchars": Decimal(1_000_000),
    "kpages": Decimal(1_000),
}
# https://console.groq.com/docs/speech-to-text
_LEAST = {("groq", name): {"audio_seconds": 10} for name in ("whisper-large-v3", "whisper-large-v3-turbo")}
_QUANTUM = Decimal("1e-15")
_CLAUDE_1H = 2


@dataclass(frozen=True, slots=True)
class Rate:
    """USD per single unit. A tier holds for all tokens of a request whose total input is above the tier's start.

    A request that used any of it is billed for `least` units at least.
    """

    base: Decimal
    tiers: tuple[tuple[int, Decimal], ...] = ()
    least: int = 0
    _quanta: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        prices = (self.base, *(price for _, price in self.tiers))
        object.__setattr__(self, "_quanta", tuple(map(quanta, prices)))

    def cost(self, count: int, input_tokens: int, *, large_context: bool) -> int:
        """Return what so many units cost in a request of so many input tokens, in quanta (see `money`).

        Args:
            count: of the units; none of them cost nothing.
            input_tokens: all input tokens of the request, cached ones included.
            large_context: the unit was named as large context, so that at least the first tier holds.
        """
        billed = max(count, self.least) if count else 0
        if not self.tiers:
            return billed * self._quanta[0]
        for place in range(len(self.tiers), 0, -1):
            if input_tokens > self.tiers[place - 1][0]:
                return billed * self._quanta[place]
        return billed * self._quanta[1 if large_context else 0]

    def times(self, factor: int) -> Rate:
        """Return this rate with every price multiplied."""
        return Rate(self.base * factor, tuple((start, price * factor) for start, price in self.tiers))


class UnitRates(NamedTuple):
    """The rates of a unit's two counters; None where the unit has no price."""

    input: Rate | None
    output: Rate | None


def unit_rates(
    prices: ModelPrice, provider: str, model: str, tiers: Mapping[str, ModelPrice] | None = None
) -> dict[str, UnitRates]:
    """Work out what each unit of a model costs; units without any price are left out.

    Args:
        prices: the catalogue's prices in force.
        provider, model: the catalogue's ids, for the rules that hold for some of them only.
        tiers: the prices in each service tier; a unit that costs something else there is a unit more, see `tiers`.
    """
    with exact():
        found = _rates(prices, provider, model)
        for tier, in_tier in (tiers or {}).items():
            rates_in_tier = _rates(in_tier, provider, model)
            found |= {f"{unit}_{tier}": rates for unit, rates in rates_in_tier.items() if rates != found.get(unit)}
    return found


def _rates(prices: ModelPrice, provider: str, model: str) -> dict[str, UnitRates]:
    rows = _GOOGLE_ROWS if provider == "google" else _ROWS
    least = _LEAST.get((provider, model), {})
    found = {unit: UnitRates(_first(prices, row[0]), _first(prices, row[1])) for unit, row in rows.items()}
    found |= {unit: _at_least(found[unit], count) for unit, count in least.items()}
    if found["text_cache_write_1h"].input is None and "claude" in model and (text := found["text"].input):
        found["text_cache_write_1h"] = UnitRates(text.times(_CLAUDE_1H), None)
    return {unit: rates for unit, rates in found.items() if rates != (None, None)}


def _at_least(rates: UnitRates, least: int) -> UnitRates:
    return UnitRates(*(rate and replace(rate, least=least) for rate in rates))


def _first(prices: ModelPrice, keys: Keys) -> Rate | None:
    for key in keys:
        if (price := getattr(prices, key, None)) is not None:
            return _rate(price, _PER[key.rpartition("_")[2]])
    return None


def _rate(price: Any, per: Decimal) -> Rate:
    if isinstance(price, Decimal):
        return Rate(_single(price, per))
    return Rate(_single(price.base, per), tuple((tier.start, _single(tier.price, per)) for tier in price.tiers))


def _single(price: Decimal, per: Decimal) -> Decimal:
    # Some catalogue entries carry the noise of a binary float (0.0499999999999999996): it ends below this quantum.
    return (price / per).quantize(_QUANTUM)


def as_table(rates: Mapping[str, UnitRates]) -> dict[str, dict[str, str]]:
    """Write rates in one canonical form, which is what identifies a version of a resource's prices."""
    return {
        unit: {name: _text(rate) for name, rate in zip(("input", "output"), pair, strict=True) if rate is not None}
        for unit, pair in sorted(rates.items())
    }


def _text(rate: Rate) -> str:
    least = [f"least:{rate.least}"] if rate.least else []
    return " ".join([f"{rate.base:f}", *(f">{start}:{price:f}" for start, price in rate.tiers), *least])
