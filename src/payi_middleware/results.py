"""What Pay-i answers, and the summary of a request's answers.

The shapes are those of Pay-i's API: https://docs.pay-i.com/docs/understanding-results
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, field_serializer

LimitStateName = Literal["ok", "blocked", "blocked_external", "exceeded", "overrun", "failed"]
Status = Literal["final", "pending"]
CostSource = Literal["payi", "estimate", "mixed"]

SEVERITY = ("ok", "failed", "exceeded", "overrun", "blocked_external", "blocked")
"""Limit states from the mildest to the worst: the worst one of several calls is shown."""


class _Answer(BaseModel):
    """Newer servers may say more than this version knows: what they say is kept."""

    model_config = ConfigDict(extra="allow", frozen=True)


class CostPart(_Answer):
    """An amount. `base` and `overrun_base` (the part above a limit's maximum) are in the cost's currency."""

    base: Decimal | None = None
    overrun_base: Decimal | None = None


class Cost(_Answer):
    """What a request cost, by direction."""

    currency: str = "usd"
    input: CostPart | None = None
    output: CostPart | None = None
    total: CostPart | None = None


class LimitState(_Answer):
    """The state of a limit after the request; states unknown to this version are kept as they are."""

    state: LimitStateName | str | None = None


class UnitCounts(_Answer):
    """The counters of one unit."""

    input: int | None = None
    output: int | None = None


class XproxyError(_Answer):
    """Why a request was refused. `code` is the stable, machine-read part."""

    code: str = "unknown_error"
    message: str | None = None


class XproxyResult(_Answer):
    """Pay-i's answer about one request: its cost, its limits and how it was annotated."""

    request_id: str | None = None
    resource_id: str | None = None
    cost: Cost | None = None
    limits: dict[str, LimitState] | None = None
    blocked_limit_ids: list[str] | None = None
    use_case_id: str | None = None
    use_case_name: str | None = None
    use_case_step: str | None = None
    user_id: str | None = None
    account_name: str | None = None
    request_tags: list[str] | None = None
    duplicate_request: bool | None = None
    unknown_units: dict[str, UnitCounts] | None = None
    warnings: list[str] | None = None
    actions: list[str] | None = None


class Summary(BaseModel):
    """The provider calls of one web request, added up: what the `X-Payi-*` response headers say.

    The same schema, as JSON, is what the last event of a stream and the results route tell: amounts are texts there,
    decimals without an exponent, because a JSON number would be read as a float.

    Args:
        calls: how many provider calls were counted.
        status: "final" when a result is in for each of them, else "pending".
        request_ids: Pay-i's id of each call, in call order.
        resource_ids, use_case_ids: the distinct ones.
        cost, cost_input, cost_output: totals in `cost_currency`; None when nothing is known, never a made-up 0.
        cost_source: "payi", "estimate" or "mixed"; None when no cost is known.
        limits: the worst state of each limit.
        blocked_limit_ids: the limits that refused a call.
    """

    model_config = ConfigDict(frozen=True)

    calls: int = 0
    status: Status = "final"
    request_ids: tuple[str, ...] = ()
    resource_ids: tuple[str, ...] = ()
    use_case_ids: tuple[str, ...] = ()
    cost: Decimal | None = None
    cost_input: Decimal | None = None
    cost_output: Decimal | None = None
    cost_currency: str | None = None
    cost_source: CostSource | None = None
    limits: dict[str, str] = {}
    blocked_limit_ids: tuple[str, ...] = ()

    @field_serializer("cost", "cost_input", "cost_output", when_used="json-unless-none")
    def _amount(self, amount: Decimal) -> str:
        return decimal_text(amount)


def decimal_text(amount: Decimal) -> str:
    """Write an amount without an exponent and without trailing zeros."""
    text = format(amount, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


NO_CALLS = Summary()


def summarise(
    calls: int,
    results: Iterable[XproxyResult | None],
    *,
    provisional: Iterable[XproxyResult | None] = (),
    streaming: bool = False,
    before: Summary | None = None,
) -> Summary:
    """Add up the results of one web request.

    Args:
        calls: how many provider calls were made in all.
        results: what is known of each call, in call order; None where no result is in.
        provisional: what is known of each call without Pay-i; it counts where no result is in, and leaves the status
            pending.
        streaming: the response's body may still make calls, so that nothing is final.
        before: the sum of earlier calls of the same request that `results` does not list.
    """
    listed = list(results)
    if before is None and len(listed) == 1 and (only := listed[0]) is not None:
        return _of_one(calls, only, streaming=streaming)
    before = before or NO_CALLS
    known = [result for result in listed if result is not None]
    guessed = [
        guess for result, guess in zip(listed, provisional, strict=False) if result is None and guess is not None
    ]
    told = known + guessed
    costs = [result.cost for result in told if result.cost is not None]
    cost = _total(before.cost, [cost.total for cost in costs])
    complete = before.status == "final" and len(known) == len(listed)
    return Summary(
        calls=calls,
        status="final" if complete and not streaming else "pending",
        request_ids=(*before.request_ids, *(result.request_id for result in known if result.request_id))[:_KEPT_IDS],
        resource_ids=_distinct(before.resource_ids, (result.resource_id for result in known)),
        use_case_ids=_distinct(before.use_case_ids, (result.use_case_id for result in known)),
        cost=cost,
        cost_input=_total(before.cost_input, [cost.input for cost in costs]),
        cost_output=_total(before.cost_output, [cost.output for cost in costs]),
        cost_currency=before.cost_currency or (costs[0].currency if costs else None),
        cost_source=None if cost is None else _source(before.cost_source, known, guessed),
        limits=_worst_states(before.limits, told),
        blocked_limit_ids=_distinct(
            before.blocked_limit_ids, (limit_id for result in told for limit_id in result.blocked_limit_ids or ())
        ),
    )


def _of_one(calls: int, result: XproxyResult, *, streaming: bool) -> Summary:
    """Do what `summarise` does where there is one result, as in most requests that make calls."""
    cost = result.cost
    total, asked, answered = (None, None, None) if cost is None else (cost.total, cost.input, cost.output)
    return Summary(
        calls=calls,
        status="pending" if streaming else "final",
        request_ids=(result.request_id,) if result.request_id else (),
        resource_ids=(result.resource_id,) if result.resource_id else (),
        use_case_ids=(result.use_case_id,) if result.use_case_id else (),
        cost=(amount := None if total is None else total.base),
        cost_input=None if asked is None else asked.base,
        cost_output=None if answered is None else answered.base,
        cost_currency=None if cost is None else cost.currency,
        cost_source=None if amount is None else "payi",
        limits=_worst_states({}, (result,)) if result.limits else {},
        blocked_limit_ids=_distinct((), result.blocked_limit_ids) if result.blocked_limit_ids else (),
    )


def _source(earlier: CostSource | None, known: Iterable[XproxyResult], guessed: Iterable[XproxyResult]) -> CostSource:
    sources: set[CostSource] = {earlier} if earlier else set()
    sources |= {"payi"} if any(result.cost is not None for result in known) else set()
    sources |= {"estimate"} if any(result.cost is not None for result in guessed) else set()
    return sources.pop() if len(sources) == 1 else "mixed"


_KEPT_IDS = 256


def _distinct(earlier: Iterable[str], values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*earlier, *(value for value in values if value))))[:_KEPT_IDS]


def _total(earlier: Decimal | None, parts: Iterable[CostPart | None]) -> Decimal | None:
    amounts = [part.base for part in parts if part is not None and part.base is not None]
    return sum(amounts, earlier or Decimal(0)) if amounts or earlier is not None else None


def _worst_states(earlier: dict[str, str], results: Iterable[XproxyResult]) -> dict[str, str]:
    worst = dict(earlier)
    for result in results:
        for limit_id, limit in (result.limits or {}).items():
            if limit.state and _severity(limit.state) >= _severity(worst.get(limit_id)):
                worst[limit_id] = limit.state
    return worst


def _severity(state: str | None) -> int:
    return SEVERITY.index(state) if state in SEVERITY else -1
