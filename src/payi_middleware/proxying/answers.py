"""What Pay-i has added to an answer that is one JSON text, or has said itself: https://docs.pay-i.com/docs/handling-errors"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .members import ERROR, RESULT, Member, last, members_of, without

__all__ = ["LIMIT_REACHED", "Told", "read_answer"]

LIMIT_REACHED = "limit_reached"
_PROVIDERS = "provider_error"
_CERTIFICATE = "invalid_provider_ssl_certificate"
_OWN = frozenset({"statusCode", "message", ERROR, RESULT})
_UNAVAILABLE = 503


class Told(NamedTuple):
    """One JSON text, read.

    Args:
        body: what the provider said, without Pay-i's members; Pay-i's own errors as they are.
        result: Pay-i's result, if there is one.
        code: Pay-i's reason, if it is an error of its own.
        not_called: the provider was surely not called.
    """

    body: bytes
    result: Mapping[str, Any] | None = None
    code: str | None = None
    not_called: bool = False


def read_answer(status: int, body: bytes) -> Told:
    """Read an answer that came through Pay-i. What cannot be read stays as it is."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return Told(body)
    members = members_of(text)
    if not members:
        return Told(body)
    result, error = last(members, RESULT), last(members, ERROR) if status >= 400 else None
    told = result.value if result is not None and isinstance(result.value, dict) else None
    code = _code(error)
    if error is not None and code is not None and _is_own(members, error):
        return Told(body, told, code, _never_called(status, code))
    gone = [member for member in (result, error) if member is not None]
    if error is not None:
        gone += _added_before(members, error, status)
    return Told(without(text, members, gone).encode() if gone else body, told)


def _code(error: Member | None) -> str | None:
    code = error.value.get("code") if error is not None and isinstance(error.value, dict) else None
    return code if isinstance(code, str) else None


def _is_own(members: list[Member], error: Member) -> bool:
    """Return whether Pay-i has said all of it: some providers' errors have a `message` and nothing else."""
    message = last(members, "message")
    named = {member.name for member in members}
    return named <= _OWN and message is not None and message.value == error.value.get("message")


def _never_called(status: int, code: str) -> bool:
    """Return whether an error of Pay-i's own was said before the provider was called.

    That it could not reach the provider may as well have happened in the middle of a call, as may its failures (500).
    """
    return code not in (LIMIT_REACHED, _PROVIDERS, _CERTIFICATE) and (status < 500 or status == _UNAVAILABLE)


def _added_before(members: list[Member], error: Member, status: int) -> list[Member]:
    """Return the members before Pay-i's error that say the same: it adds each that the provider has not."""
    before = members[: members.index(error)]
    message = error.value.get("message") if isinstance(error.value, dict) else None
    found: list[Member] = []
    for name, value in (("message", message), ("statusCode", status)):
        if before and before[-1].name == name and before[-1].value == value:
            found.append(before.pop())
    return found
