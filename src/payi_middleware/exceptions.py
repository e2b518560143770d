"""The errors that payi-middleware raises.

PayiError
├── ConfigurationError      a setting is wrong; raised at start-up, never in a request
└── IngestError             a report was not accepted; raised to callers of `ingest()` only
    ├── IngestConnectionError   Pay-i was not reached
    ├── IngestTimeoutError      no answer within the timeout
    └── IngestRefusedError      Pay-i answered, and said no
"""

from __future__ import annotations


class PayiError(Exception):
    """The root of every error of this package."""


class ConfigurationError(PayiError, ValueError):
    """A setting is wrong. The message names the setting and the fix.

    Args:
        setting: the setting's name, as the user wrote it (`header_wait`, `PAYI_HEADER_WAIT`, `identity`).
        problem: what is wrong with it.
        fix: what to do about it.
    """

    def __init__(self, setting: str, problem: str, fix: str) -> None:
        super().__init__(f"{setting}: {problem}. {fix}")
        self.setting = setting
        self.problem = problem
        self.fix = fix


class IngestError(PayiError):
    """A report was not accepted."""


class IngestConnectionError(IngestError):
    """Pay-i could not be reached, or the connection broke."""


class IngestTimeoutError(IngestError):
    """Pay-i did not answer within the timeout."""


class IngestRefusedError(IngestError):
    """Pay-i answered with an error.

    Args:
        status: the HTTP status of the answer, or of the item within a bulk answer.
        code: `xproxy_error.code`, the stable, machine-read reason; "unknown_error" if the answer had none.
        message: Pay-i's own explanation.
        retry_after: seconds after which it may be tried again, where the answer said so.
        limit_ids: the limits that it was refused for, where the answer named them.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        retry_after: float | None = None,
        limit_ids: tuple[str, ...] = (),
    ) -> None:
        super().__init__(f"HTTP {status} {code}: {message}")
        self.retry_after = retry_after
        self.limit_ids = limit_ids
        self.status = status
        self.code = code
        self.message = message
