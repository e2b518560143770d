"""Asking who makes the web request that a provider call is made in, before the call is made."""

from __future__ import annotations

from .context import Frame, current_frame
from .log import warn

__all__ = ["asettle_identity", "settle", "settle_at_once", "settle_identity"]


def settle_identity() -> Frame | None:
    """Ask who makes the request being served, as far as that needs no event loop; return what is in force."""
    frame = current_frame()
    if frame is not None:
        settle(frame)
    return frame


def settle(frame: Frame) -> None:
    """Ask who makes a request, as far as that needs no event loop."""
    try:
        frame.scope.settle_identity()
    except Exception as error:  # noqa: BLE001 - fail open
        warn("identity", "The identity of a request could not be read: %s", type(error).__name__)


def settle_at_once(frame: Frame) -> bool:
    """Ask who makes a request, if that takes no waiting.

    Returns:
        Whether `asettle_identity` need not be awaited any more.
    """
    try:
        return frame.scope.settle_identity_at_once()
    except Exception as error:  # noqa: BLE001 - fail open
        warn("identity", "The identity of a request could not be read: %s", type(error).__name__)
        return True


async def asettle_identity(frame: Frame | None) -> None:
    """Ask who makes the request being served.

    Args:
        frame: what is in force.
    """
    if frame is not None:
        try:
            await frame.scope.asettle_identity()
        except Exception as error:  # noqa: BLE001 - fail open
            warn("identity", "The identity of a request could not be read: %s", type(error).__name__)
