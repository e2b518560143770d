"""Results and reports for code that asks: `result_of`, `ingest`, and their async twins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from .annotations import NOTHING, Annotations
from .beginning import owner_in
from .calls import Call, await_settled, wait
from .context import RequestScope, current_frame, process_defaults
from .exceptions import IngestError, IngestTimeoutError
from .identifying import asettle_identity, settle_identity
from .meter import Meter, default_meter, hurry
from .report import context_fields
from .results import XproxyResult
from .sdk import call_of
from .tracking import frame_for

Units = Mapping[str, Mapping[str, int]]


def result_of(response: object, *, timeout: float = 5.0) -> XproxyResult:
    """Wait for Pay-i's result on a provider call. Blocks this thread; in async code, use `aresult_of`.

    Args:
        response: what the provider's SDK handed out, its stream, or the HTTP library's response.
        timeout: seconds to wait at most.

    Raises:
        LookupError: this is no response of a call that was metered.
        IngestTimeoutError: the result did not come in time; it may still come.
        IngestError: the report was not accepted.
    """
    call = _asked_call(response)
    wait((call,), timeout, patient=True)
    return call.fetch() if call.fetch is not None else _outcome(call, timeout)


async def aresult_of(response: object, *, timeout: float = 5.0) -> XproxyResult:
    """Wait for Pay-i's result on a provider call; see `result_of`."""
    call = _asked_call(response)
    await await_settled((call,), timeout, patient=True)
    return await _on_a_thread(call.fetch) if call.fetch is not None else _outcome(call, timeout)


def _asked_call(response: object) -> Call:
    """Return the call that a response is of, whose report is not to wait for others any more."""
    call = call_of(response)
    if call is None:
        raise LookupError(f"this {type(response).__name__} is no response of a provider call that was metered")
    if not call.settled:
        hurry()
    return call


def _outcome(call: Call, timeout: float) -> XproxyResult:
    if call.result is not None:
        return call.result
    if isinstance(call.error, IngestError):
        raise call.error
    if call.settled:
        raise IngestError("the report was given up") from call.error
    raise IngestTimeoutError(f"no result within {timeout} s; it may still come")


def ingest(
    *,
    category: str,
    units: Units,
    resource: str | None = None,
    event_timestamp: datetime | None = None,
    end_to_end_latency_ms: int | None = None,
    time_to_first_token_ms: int | None = None,
    time_to_first_completion_token_ms: int | None = None,
    http_status_code: int | None = None,
    properties: Mapping[str, str | None] | None = None,
    use_case_properties: Mapping[str, str | None] | None = None,
    provider_uri: str | None = None,
    provider_response_id: str | None = None,
    **annotations: Any,
) -> XproxyResult:
    """Report a call that no transport of ours can see, with the current annotations, and return its result.

    It blocks until Pay-i has answered; in async code, use `aingest`. The result counts in the request's summary.

    Args:
        category: Pay-i's category, such as `system.openai`.
        units: counters by unit: `{"text": {"input": 120, "output": 30}}`.
        resource: the model.
        event_timestamp: when the call began; now, if not given. A time without an offset is taken as UTC.
        end_to_end_latency_ms, time_to_first_token_ms, time_to_first_completion_token_ms: milliseconds.
        http_status_code: the provider's answer; 400 and above, and 299, count as failed.
        properties, use_case_properties: added to the current ones.
        provider_uri: the provider's address.
        provider_response_id: the provider's id; a second report with the same one is not charged again.
        **annotations: the parameters of `track_context`, for this call only.

    Raises:
        TypeError: an unknown parameter, or a value of the wrong type.
        IngestConnectionError, IngestTimeoutError: Pay-i could not be reached.
        IngestRefusedError: Pay-i refused the report; it says why.
        ConfigurationError: nothing is set up yet and the environment's settings are wrong.
    """
    given = dict(locals())
    settle_identity()
    return _send(_owner(), given, given.pop("annotations"))


async def aingest(**report: Any) -> XproxyResult:
    """Report a call that no transport of ours can see; see `ingest` for the parameters."""
    await asettle_identity(current_frame())
    return await _on_a_thread(lambda: ingest(**report))


async def _on_a_thread(function: Callable[[], XproxyResult]) -> XproxyResult:
    from anyio.to_thread import run_sync  # see `waking.import_anyio`

    return await run_sync(function)


def _owner() -> Meter:
    owner = owner_in(current_frame())
    return owner if isinstance(owner, Meter) else default_meter()


def _send(meter: Meter, given: dict[str, Any], own: dict[str, Any]) -> XproxyResult:
    layer = Annotations(**own) if own else NOTHING
    frame = current_frame()
    scope: RequestScope | None = None if frame is None else frame.scope
    with_own = _in_force(layer)
    item = {**given, **context_fields(with_own, meter.hash_user)}
    item["properties"] = {**(with_own.request_properties or {}), **(given["properties"] or {})}
    item["use_case_properties"] = {**(with_own.use_case_properties or {}), **(given["use_case_properties"] or {})}
    item["units"] = {unit: dict(counts) for unit, counts in given["units"].items()}
    item["event_timestamp"] = _timestamp(given["event_timestamp"])
    item["provider_response_id"] = given["provider_response_id"] or f"payi_{uuid4()}"
    call = Call()
    if scope is not None:
        scope.add(call)
    try:
        result = meter.send({name: value for name, value in item.items() if value not in (None, {}) or name == "units"})
    except BaseException as error:
        call.settle(None, error)
        raise
    if scope is not None:
        scope.last_result = result
    call.settle(result)
    return result


def _in_force(layer: Annotations) -> Annotations:
    if layer is not NOTHING:
        return frame_for(layer).annotations()
    frame = current_frame()
    return process_defaults() if frame is None else frame.annotations()


def _timestamp(moment: datetime | None) -> str:
    moment = moment or datetime.now(UTC)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.isoformat().replace("+00:00", "Z")
