"""Which SDK makes a call, as its user agent says."""

from __future__ import annotations

from functools import lru_cache

__all__ = ["sdk_of"]

_AMAZON = ("boto3/", "botocore/", "aiobotocore/", "aioboto3/")


@lru_cache(maxsize=128)
def sdk_of(user_agent: str | bytes | None) -> str | None:
    """Read `openai/3.54.0` out of `AsyncOpenAI/Python 3.54.0`, as the vendors' generated SDKs announce themselves.

    Amazon's begin with what is wanted: `Boto3/1.44.5 md/Botocore#1.44.5 ...`.
    """
    if isinstance(user_agent, bytes):
        user_agent = user_agent.decode("latin-1")
    name, found, version = (user_agent or "").partition("/Python ")
    if not found:
        first = name.partition(" ")[0].lower()
        return first if first.startswith(_AMAZON) else None
    return f"{name.removeprefix('Async').lower()}/{version.split()[0]}" if version.strip() else None
