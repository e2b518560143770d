"""The errors of the service.

ServiceError    a request is refused: what the caller sent is at fault
LedgerError     the ledger's file is at fault (an OSError)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class ServiceError(Exception):
    """A request is refused, and nothing was changed.

    Args:
        status: the HTTP status of the answer.
        code: Pay-i's stable, machine-read reason: https://docs.pay-i.com/docs/error-code-strings
        message: the reason for people; it never repeats payloads.
        allow: the methods that would do, where it is the method that is wrong.
    """

    def __init__(self, status: int, code: str, message: str, *, allow: Sequence[str] = ()) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.allow = tuple(allow)

    def body(self) -> dict[str, Any]:
        """Build the JSON body of Pay-i's error answers: https://docs.pay-i.com/docs/handling-errors"""
        return {
            "statusCode": self.status,
            "message": self.message,
            "xproxy_error": {"code": self.code, "message": self.message},
        }


class LedgerError(OSError):
    """The ledger cannot be opened, read or written. The message names the file and the fix.

    Args:
        database: the file, as the user named it.
        problem: what is wrong with it.
        fix: what to do about it.
        unsure: whether something was written is not known: the connection was lost while it was committed.
    """

    def __init__(self, database: str, problem: str, fix: str, *, unsure: bool = False) -> None:
        super().__init__(f"ledger {database}: {problem}. {fix}")
        self.database = database
        self.problem = problem
        self.fix = fix
        self.unsure = unsure


def missing(field: str) -> ServiceError:
    """Refuse a body in which a required field is absent or empty."""
    return ServiceError(400, "required_field_missing", f"{field} is required")


def invalid(message: str, code: str = "request_processing_error") -> ServiceError:
    """Refuse a value; Pay-i has no code of its own for most kinds of wrong value."""
    return ServiceError(400, code, message)
