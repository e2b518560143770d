"""The answer that a refused call gets instead of the provider's.

It is HTTP 400 in the shape of Pay-i's own block, which every SDK takes for an error of the caller's and does not try
again: https://docs.pay-i.com/docs/handling-errors
"""

from __future__ import annotations

import json
from typing import NamedTuple

from payi_middleware.results import LimitState, XproxyResult

__all__ = ["BLOCKED_PROPERTY", "CODE", "Refusal"]

_STATUS = 400
CODE = "limit_reached"
BLOCKED_PROPERTY = "system.blocked_limit_ids"
"""The property of a report that names the limits, with commas between them, which its call was refused for."""


class Refusal(NamedTuple):
    """Why a call does not go out: the limits that have no room for it."""

    limit_ids: tuple[str, ...]
    other_ids: tuple[str, ...] = ()

    @property
    def status(self) -> int:
        """The answer's HTTP status."""
        return _STATUS

    @property
    def message(self) -> str:
        """The reason for people."""
        return f"This call was not made: limit {', '.join(self.limit_ids)} is reached."

    @property
    def body(self) -> bytes:
        """The answer's body. `error` and `type` are where the providers' SDKs look for their own errors' message."""
        error = {"code": CODE, "message": self.message}
        told = {
            "statusCode": _STATUS,
            "message": self.message,
            "xproxy_error": error,
            "xproxy_result": self.result.model_dump(exclude_none=True),
            "type": "error",
            "error": {**error, "type": CODE, "status": "FAILED_PRECONDITION"},
        }
        return json.dumps(told).encode()

    @property
    def result(self) -> XproxyResult:
        """What is known of the call before it is reported."""
        states = {limit_id: LimitState(state="blocked") for limit_id in self.limit_ids}
        states |= {limit_id: LimitState(state="blocked_external") for limit_id in self.other_ids}
        return XproxyResult(limits=states, blocked_limit_ids=list(self.limit_ids))

    @property
    def headers(self) -> dict[str, str]:
        """The answer's headers; boto3 reads the error's name from one."""
        return {
            "content-type": "application/json",
            "content-length": str(len(self.body)),
            "x-should-retry": "false",
            "x-amzn-errortype": CODE,
        }
